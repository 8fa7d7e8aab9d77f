"""The report of a guardrail in the trace of a reply. Outcrop passes it through unread."""

from typing import Literal, Required

from typing_extensions import TypedDict


class GuardrailTopic(TypedDict, total=False):
    name: Required[str]
    type: Required[Literal["DENY"]]
    action: Required[Literal["BLOCKED", "NONE"]]
    detected: bool


class GuardrailTopicPolicyAssessment(TypedDict, total=False):
    topics: Required[list[GuardrailTopic]]


class GuardrailContentFilter(TypedDict, total=False):
    type: Required[Literal["INSULTS", "HATE", "SEXUAL", "VIOLENCE", "MISCONDUCT", "PROMPT_ATTACK"]]
    confidence: Required[Literal["NONE", "LOW", "MEDIUM", "HIGH"]]
    filterStrength: Literal["NONE", "LOW", "MEDIUM", "HIGH"]
    action: Required[Literal["BLOCKED", "NONE"]]
    detected: bool


class GuardrailContentPolicyAssessment(TypedDict, total=False):
    filters: Required[list[GuardrailContentFilter]]


class GuardrailCustomWord(TypedDict, total=False):
    match: Required[str]
    action: Required[Literal["BLOCKED", "NONE"]]
    detected: bool


class GuardrailManagedWord(TypedDict, total=False):
    match: Required[str]
    type: Required[Literal["PROFANITY"]]
    action: Required[Literal["BLOCKED", "NONE"]]
    detected: bool


class GuardrailWordPolicyAssessment(TypedDict, total=False):
    customWords: Required[list[GuardrailCustomWord]]
    managedWordLists: Required[list[GuardrailManagedWord]]


class GuardrailPiiEntityFilter(TypedDict, total=False):
    match: Required[str]
    type: Required[str]
    action: Required[Literal["ANONYMIZED", "BLOCKED", "NONE"]]
    detected: bool


class GuardrailRegexFilter(TypedDict, total=False):
    name: str
    match: str
    regex: str
    action: Required[Literal["ANONYMIZED", "BLOCKED", "NONE"]]
    detected: bool


class GuardrailSensitiveInformationPolicyAssessment(TypedDict, total=False):
    piiEntities: Required[list[GuardrailPiiEntityFilter]]
    regexes: Required[list[GuardrailRegexFilter]]


class GuardrailContextualGroundingFilter(TypedDict, total=False):
    type: Required[Literal["GROUNDING", "RELEVANCE"]]
    threshold: Required[float]
    score: Required[float]
    action: Required[Literal["BLOCKED", "NONE"]]
    detected: bool


class GuardrailContextualGroundingPolicyAssessment(TypedDict, total=False):
    filters: list[GuardrailContextualGroundingFilter]


class GuardrailAutomatedReasoningStatement(TypedDict, total=False):
    logic: str
    naturalLanguage: str


class GuardrailAutomatedReasoningInputTextReference(TypedDict, total=False):
    text: str


class GuardrailAutomatedReasoningTranslation(TypedDict, total=False):
    premises: list[GuardrailAutomatedReasoningStatement]
    claims: list[GuardrailAutomatedReasoningStatement]
    untranslatedPremises: list[GuardrailAutomatedReasoningInputTextReference]
    untranslatedClaims: list[GuardrailAutomatedReasoningInputTextReference]
    confidence: float


class GuardrailAutomatedReasoningScenario(TypedDict, total=False):
    statements: list[GuardrailAutomatedReasoningStatement]


class GuardrailAutomatedReasoningRule(TypedDict, total=False):
    identifier: str
    policyVersionArn: str


class GuardrailAutomatedReasoningLogicWarning(TypedDict, total=False):
    type: Literal["ALWAYS_FALSE", "ALWAYS_TRUE"]
    premises: list[GuardrailAutomatedReasoningStatement]
    claims: list[GuardrailAutomatedReasoningStatement]


class GuardrailAutomatedReasoningValidFinding(TypedDict, total=False):
    translation: GuardrailAutomatedReasoningTranslation
    claimsTrueScenario: GuardrailAutomatedReasoningScenario
    supportingRules: list[GuardrailAutomatedReasoningRule]
    logicWarning: GuardrailAutomatedReasoningLogicWarning


class GuardrailAutomatedReasoningInvalidFinding(TypedDict, total=False):
    translation: GuardrailAutomatedReasoningTranslation
    contradictingRules: list[GuardrailAutomatedReasoningRule]
    logicWarning: GuardrailAutomatedReasoningLogicWarning


class GuardrailAutomatedReasoningSatisfiableFinding(TypedDict, total=False):
    translation: GuardrailAutomatedReasoningTranslation
    claimsTrueScenario: GuardrailAutomatedReasoningScenario
    claimsFalseScenario: GuardrailAutomatedReasoningScenario
    logicWarning: GuardrailAutomatedReasoningLogicWarning


class GuardrailAutomatedReasoningImpossibleFinding(TypedDict, total=False):
    translation: GuardrailAutomatedReasoningTranslation
    contradictingRules: list[GuardrailAutomatedReasoningRule]
    logicWarning: GuardrailAutomatedReasoningLogicWarning


class GuardrailAutomatedReasoningTranslationOption(TypedDict, total=False):
    translations: list[GuardrailAutomatedReasoningTranslation]


class GuardrailAutomatedReasoningTranslationAmbiguousFinding(TypedDict, total=False):
    options: list[GuardrailAutomatedReasoningTranslationOption]
    differenceScenarios: list[GuardrailAutomatedReasoningScenario]


class GuardrailAutomatedReasoningTooComplexFinding(TypedDict, total=False):
    pass


class GuardrailAutomatedReasoningNoTranslationsFinding(TypedDict, total=False):
    pass


class GuardrailAutomatedReasoningFinding(TypedDict, total=False):
    valid: GuardrailAutomatedReasoningValidFinding
    invalid: GuardrailAutomatedReasoningInvalidFinding
    satisfiable: GuardrailAutomatedReasoningSatisfiableFinding
    impossible: GuardrailAutomatedReasoningImpossibleFinding
    translationAmbiguous: GuardrailAutomatedReasoningTranslationAmbiguousFinding
    tooComplex: GuardrailAutomatedReasoningTooComplexFinding
    noTranslations: GuardrailAutomatedReasoningNoTranslationsFinding


class GuardrailAutomatedReasoningPolicyAssessment(TypedDict, total=False):
    findings: list[GuardrailAutomatedReasoningFinding]


class GuardrailUsage(TypedDict, total=False):
    topicPolicyUnits: Required[int]
    contentPolicyUnits: Required[int]
    wordPolicyUnits: Required[int]
    sensitiveInformationPolicyUnits: Required[int]
    sensitiveInformationPolicyFreeUnits: Required[int]
    contextualGroundingPolicyUnits: Required[int]
    contentPolicyImageUnits: int
    automatedReasoningPolicyUnits: int
    automatedReasoningPolicies: int


class GuardrailTextCharactersCoverage(TypedDict, total=False):
    guarded: int
    total: int


class GuardrailImageCoverage(TypedDict, total=False):
    guarded: int
    total: int


class GuardrailCoverage(TypedDict, total=False):
    textCharacters: GuardrailTextCharactersCoverage
    images: GuardrailImageCoverage


class GuardrailInvocationMetrics(TypedDict, total=False):
    guardrailProcessingLatency: int
    usage: GuardrailUsage
    guardrailCoverage: GuardrailCoverage


class AppliedGuardrailDetails(TypedDict, total=False):
    guardrailId: str
    guardrailVersion: str
    guardrailArn: str
    guardrailOrigin: list[Literal["REQUEST", "ACCOUNT_ENFORCED", "ORGANIZATION_ENFORCED"]]
    guardrailOwnership: Literal["SELF", "CROSS_ACCOUNT"]


class GuardrailAssessment(TypedDict, total=False):
    topicPolicy: GuardrailTopicPolicyAssessment
    contentPolicy: GuardrailContentPolicyAssessment
    wordPolicy: GuardrailWordPolicyAssessment
    sensitiveInformationPolicy: GuardrailSensitiveInformationPolicyAssessment
    contextualGroundingPolicy: GuardrailContextualGroundingPolicyAssessment
    automatedReasoningPolicy: GuardrailAutomatedReasoningPolicyAssessment
    invocationMetrics: GuardrailInvocationMetrics
    appliedGuardrailDetails: AppliedGuardrailDetails


class GuardrailTraceAssessment(TypedDict, total=False):
    modelOutput: list[str]
    inputAssessment: dict[str, GuardrailAssessment]
    outputAssessments: dict[str, list[GuardrailAssessment]]
    actionReason: str
