"""The settings of Bedrock's quotas: how calls wait for them, and where their limits come from."""

from pydantic import Field

from app.config.operation_settings import OperationSettings


class QuotaSettings(OperationSettings):
    """How calls wait for Bedrock's quotas."""

    quota_max_wait: float = Field(
        30,
        ge=0,
        le=600,
        description="Seconds that a call may wait for a quota of Bedrock. A call that cannot start in time is refused "
        "at once, with `Retry-After`.",
    )
    quota_spill_wait: float = Field(
        2,
        ge=0,
        le=600,
        description="Seconds of waiting for a quota beyond which a call of a route goes to another target where it "
        "starts earlier.",
    )
    quotas_from_aws: bool = Field(
        False,
        description="Read the account's quotas from Service Quotas, where the configuration file has none. Needs the "
        "permissions `servicequotas:ListServiceQuotas` and `servicequotas:ListAWSDefaultServiceQuotas`.",
    )
    quotas_calibration: bool = Field(
        False,
        description="Compare what calls took of each quota with CloudWatch's EstimatedTPMQuotaUsage every 5 minutes. "
        "Needs the permission `cloudwatch:GetMetricStatistics`.",
    )
