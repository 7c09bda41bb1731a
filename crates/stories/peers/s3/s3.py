"""A double of S3 in a process of its own: moto, which knows who may and checks every signature. Prints one line of
JSON with its address and a key when it is ready, and then answers lines of its standard input: `list` with the
names of all objects and of uploads that were begun and not ended. Ends with its input."""

import json
import os
import sys

# From the fifth request on all is refused that is not signed by a key of somebody who may.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

BUCKET = "artifacts"

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
first = {"aws_access_key_id": "first", "aws_secret_access_key": "first"}
where = {"endpoint_url": url, "region_name": "us-east-1"}
iam = boto3.client("iam", **where, **first)
iam.create_user(UserName="toft")
iam.put_user_policy(
    UserName="toft",
    PolicyName="all",
    PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    ),
)
key = iam.create_access_key(UserName="toft")["AccessKey"]
mine = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
s3 = boto3.client("s3", **where, **mine)
s3.create_bucket(Bucket=BUCKET)


def say(what):
    print(json.dumps(what), flush=True)


say({"url": url, "bucket": BUCKET, "key": mine["aws_access_key_id"], "secret": mine["aws_secret_access_key"]})
for line in sys.stdin:
    if line.strip() == "list":
        objects = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        uploads = s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        say(
            {
                "objects": sorted(o["Key"] for o in objects),
                "sizes": {o["Key"]: o["Size"] for o in objects},
                "uploads": sorted(u["Key"] for u in uploads),
            }
        )
server.stop()
