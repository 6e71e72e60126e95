"""A policy of brokers, as companies have them: a topic may have at most two partitions."""

import base64
from pathlib import Path
from typing import Final

NAME: Final = "AtMostTwoPartitions"
SOURCE: Final = """
import java.util.Map;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.server.policy.CreateTopicPolicy;

public class AtMostTwoPartitions implements CreateTopicPolicy {
    public void configure(Map<String, ?> configs) {}
    public void close() {}
    public void validate(RequestMetadata topic) {
        if (topic.numPartitions() != null && topic.numPartitions() > 2) {
            throw new PolicyViolationException(topic.topic() + " may have at most 2 partitions");
        }
    }
}
"""
"""What was compiled, with `javac -g:none --release 11` and kafka-clients 4.3.1 on the class path.

The machines that run the tests have a JRE only.
"""
_COMPILED: Final = """
yv66vgAAADcAPQoAAgADBwAEDAAFAAYBABBqYXZhL2xhbmcvT2JqZWN0AQAGPGluaXQ+AQADKClWCgAIAAkHAAoMAAsADAEA
QG9yZy9hcGFjaGUva2Fma2Evc2VydmVyL3BvbGljeS9DcmVhdGVUb3BpY1BvbGljeSRSZXF1ZXN0TWV0YWRhdGEBAA1udW1Q
YXJ0aXRpb25zAQAVKClMamF2YS9sYW5nL0ludGVnZXI7CgAOAA8HABAMABEAEgEAEWphdmEvbGFuZy9JbnRlZ2VyAQAIaW50
VmFsdWUBAAMoKUkHABQBADdvcmcvYXBhY2hlL2thZmthL2NvbW1vbi9lcnJvcnMvUG9saWN5VmlvbGF0aW9uRXhjZXB0aW9u
CgAIABYMABcAGAEABXRvcGljAQAUKClMamF2YS9sYW5nL1N0cmluZzsSAAAAGgwAGwAcAQAXbWFrZUNvbmNhdFdpdGhDb25z
dGFudHMBACYoTGphdmEvbGFuZy9TdHJpbmc7KUxqYXZhL2xhbmcvU3RyaW5nOwoAEwAeDAAFAB8BABUoTGphdmEvbGFuZy9T
dHJpbmc7KVYHACEBABNBdE1vc3RUd29QYXJ0aXRpb25zBwAjAQAwb3JnL2FwYWNoZS9rYWZrYS9zZXJ2ZXIvcG9saWN5L0Ny
ZWF0ZVRvcGljUG9saWN5AQAEQ29kZQEACWNvbmZpZ3VyZQEAEihMamF2YS91dGlsL01hcDspVgEACVNpZ25hdHVyZQEAJyhM
amF2YS91dGlsL01hcDxMamF2YS9sYW5nL1N0cmluZzsqPjspVgEABWNsb3NlAQAIdmFsaWRhdGUBAEUoTG9yZy9hcGFjaGUv
a2Fma2Evc2VydmVyL3BvbGljeS9DcmVhdGVUb3BpY1BvbGljeSRSZXF1ZXN0TWV0YWRhdGE7KVYBAA1TdGFja01hcFRhYmxl
AQAQQm9vdHN0cmFwTWV0aG9kcw8GAC8KADAAMQcAMgwAGwAzAQAkamF2YS9sYW5nL2ludm9rZS9TdHJpbmdDb25jYXRGYWN0
b3J5AQCYKExqYXZhL2xhbmcvaW52b2tlL01ldGhvZEhhbmRsZXMkTG9va3VwO0xqYXZhL2xhbmcvU3RyaW5nO0xqYXZhL2xh
bmcvaW52b2tlL01ldGhvZFR5cGU7TGphdmEvbGFuZy9TdHJpbmc7W0xqYXZhL2xhbmcvT2JqZWN0OylMamF2YS9sYW5nL2lu
dm9rZS9DYWxsU2l0ZTsIADUBAB8BIG1heSBoYXZlIGF0IG1vc3QgMiBwYXJ0aXRpb25zAQAMSW5uZXJDbGFzc2VzAQAPUmVx
dWVzdE1ldGFkYXRhBwA5AQAlamF2YS9sYW5nL2ludm9rZS9NZXRob2RIYW5kbGVzJExvb2t1cAcAOwEAHmphdmEvbGFuZy9p
bnZva2UvTWV0aG9kSGFuZGxlcwEABkxvb2t1cAAhACAAAgABACIAAAAEAAEABQAGAAEAJAAAABEAAQABAAAABSq3AAGxAAAA
AAABACUAJgACACQAAAANAAAAAgAAAAGxAAAAAAAnAAAAAgAoAAEAKQAGAAEAJAAAAA0AAAABAAAAAbEAAAAAAAEAKgArAAEA
JAAAADkAAwACAAAAJCu2AAfGAB8rtgAHtgANBaQAFLsAE1krtgAVugAZAAC3AB2/sQAAAAEALAAAAAMAASMAAgAtAAAACAAB
AC4AAQA0ADYAAAASAAIACAAiADcACQA4ADoAPAAZ
"""


def write_class(folder: Path) -> None:
    """Write the policy's class file into a folder that is on the class path."""
    (folder / f"{NAME}.class").write_bytes(base64.b64decode(_COMPILED))
