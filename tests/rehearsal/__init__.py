"""The rehearsal of a complete deployment on one machine: `./run_tests.sh deploy`.

Real: the image, the registry protocol, the containers, the path from the load balancer to them, deploy.sh, CloudFormation's and
ECS's interfaces. Emulated by ministack: the services behind those interfaces. Not rehearsed, because nothing here checks
them: trust and permissions (tests/infra reads the templates for those), autoscaling, VPC endpoints, alarms that fire.
"""
