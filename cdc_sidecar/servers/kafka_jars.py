# ruff: noqa: E501 - a coordinate and a checksum do not break
"""Kafka 4.3.1 for the JVM: its jars in Maven Central and their checksums.

The list is the result of resolving `org.apache.kafka:kafka_2.13` and `kafka-tools`, and of
`log4j-slf4j-impl`, without which the server writes no log. It is stored here because resolving takes
half a minute, and because every machine then runs the same files. Each line has group:artifact:version
and the SHA-256 of the file in base64.
"""

KAFKA_VERSION = "4.3.1"
TOTAL_BYTES = 56_428_588  # of all jars, for the progress bar

KAFKA_JARS = """\
at.yawk.lz4:lz4-java:1.10.2 JS2r1YbSIUmjFmGor8GlB0dxTrGimL1KbngMjJGhOGY=
com.dynatrace.hash4j:hash4j:0.22.0 IwKKP9AG5TC/SV9VEIMggYfK/Y+AYk0EjrpWRC8WpQ4=
com.fasterxml.jackson.core:jackson-annotations:2.21 U8oIX0oVD3A/SeGqvZNb0DtD4eo9VdE1Q4KSryLO9Ws=
com.fasterxml.jackson.core:jackson-core:2.21.2 EuhlWxACZ7RNDxTQGx9QgqUQXmFhdNxDB74adh6SQHs=
com.fasterxml.jackson.core:jackson-databind:2.21.2 jJgvAfFI2AXwqqwjOQESRHV+DffG/4lR8vo/QzuO2Ek=
com.fasterxml.jackson.dataformat:jackson-dataformat-csv:2.21.2 aC+MeXfgKkJ0hCa/VJRuMuUuL4C4S2ZCgBqxK9VBNoo=
com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.21.2 0lVRgS+gwU83yrqpQB5j6tzqQs42MRGDr1Yi1byKG8c=
com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.21.2 5YG78/xWItFrVzZt1B4Q/FaSH7ICh53i70h/h92bMOc=
com.fasterxml.jackson.jakarta.rs:jackson-jakarta-rs-base:2.21.2 QPTFei5vNFBTONoYhyTnrOezQ93jlkt2oSyZPN7a0a8=
com.fasterxml.jackson.jakarta.rs:jackson-jakarta-rs-json-provider:2.21.2 ypaep5jv7cS1ZYlQX6tR62nBGjYbLnWDhVWT/IaQpmY=
com.fasterxml.jackson.module:jackson-module-blackbird:2.21.2 XtYs3NNXoktz3pKA4WeqAU17TBfQSCOETUgidM8HCX4=
com.fasterxml.jackson.module:jackson-module-jakarta-xmlbind-annotations:2.21.2 9QdVHII7E3yEhydfwXFlKnik8INzLjSeHTy0LlaN1+Q=
com.github.ben-manes.caffeine:caffeine:3.2.0 7EEd/fDAPyUhhkjOiYYWMLcWgOWFippyeOusjlXKs9c=
com.github.luben:zstd-jni:1.5.6-10 tsMjfiS4JSpanDoOGuMO+PMjQS50vTWFSLep5SfWdt8=
com.google.re2j:re2j:1.8 e1LHIVbdf5izI3pbNcHTT7o4GyEEjIkgiROtgKRd+9c=
com.sun.activation:jakarta.activation:2.0.1 ueJLfdbgdJVWLqllMb4xMMltuk144d/Yitu96/QzKHE=
com.typesafe.scala-logging:scala-logging_2.13:3.9.6 CtDD9NidU4s7bDABWFVeJmqmnPG19lIquotbrSOOuZQ=
com.yammer.metrics:metrics-core:2.2.0 a3oUpvNMEPhoP3teLznfDwe1jH3/DkaOu8cTkFxGl5w=
commons-beanutils:commons-beanutils:1.11.0 nkS6aOyaPyEob6Kou7ADtzXA9pEBu0MUS3n0+KqnRwk=
commons-collections:commons-collections:3.2.2 7urpF5FxRKaKdB1MDf9mqlxcX9hVk/8he87T/Iyng7g=
commons-digester:commons-digester:2.1 4LK5gKhPxlM8XOKR8ZF7MsUH9ivK1kGY//RDaMIZaj0=
commons-logging:commons-logging:1.3.5 bXp0TkAnZJ+7UIld+Ul9EJ+Yx2amNwYv6NLqu7MUC6Q=
commons-validator:commons-validator:1.10.1 7XRxGnjXk8o39gdeSh6T0QcjPf0g0LsX4yutiNOOVqo=
io.github.classgraph:classgraph:4.8.179 FlWDV/I0BSNwEJEnpF1pqb1thkaSVZR5JjRIbcSLFZ0=
io.swagger.core.v3:swagger-annotations:2.2.39 6jAXB2gJ+BBP+KEw3EwS24xnWVqh2XgQSpvsqCd6fSk=
jakarta.activation:jakarta.activation-api:2.1.0 VujZlAlf5JwoE4xgKRSC9m8Y0SrCtyDpOGl9zmoxNcc=
jakarta.annotation:jakarta.annotation-api:2.1.1 X2X9r0JO7itV4diCupuzdr6T+wmze4CL5uIuiFHJCf4=
jakarta.inject:jakarta.inject-api:2.0.1 99yYBi/M8UEmq7dRtk+rEsMSVm6MvchINZi//OqTr3w=
jakarta.servlet:jakarta.servlet-api:6.0.0 wDTrGvsViYfbtTpf6gyt9hHI2ujardWcRNnVq3ASnO8=
jakarta.validation:jakarta.validation-api:3.0.2 KRwl5pEMxqfr2W1Ma66/bXw3Z2xUgsLZYUbpAbYsH8k=
jakarta.ws.rs:jakarta.ws.rs-api:3.1.0 azs2KLi0rt2g0kwzVDNemFSX2O88UQuPMCjpINW4Zj0=
jakarta.xml.bind:jakarta.xml.bind-api:3.0.1 uPtL7j/1tcHvdxRNhBExYBjXu9Qfzx7eBkb3l4VGuGc=
javax.activation:activation:1.1.1 rkdRIOn82ZtLALODKb1hzcXrdU7uA/5mwB9Q4TdyT5k=
javax.activation:javax.activation-api:1.2.0 Q/3vC1ts6zGwQksgi5MMdKtY+sLO63s/b9OuuLXKQ5M=
javax.xml.bind:jaxb-api:2.3.1 iLlVoN9XiAomp0cIvDT3Tcr46/TniEOii1Dq6UVzKwY=
net.sf.jopt-simple:jopt-simple:5.0.4 3ybMWPI19HfbB/dTulo6skPr5Xidn4ns9o3WLqmmbCg=
net.sourceforge.argparse4j:argparse4j:0.7.0 Zc62adiPYzBsaA+AiLv3ZbvKctKIphoDcDAAB2w9P1Y=
org.apache.kafka:connect-api:4.3.1 XOYVjUU9LYSrNQkmD/+HLGf7UypRUZ2mrK/Gg1vEjP4=
org.apache.kafka:connect-json:4.3.1 69bUkA62g18wxs50tfbUpP3BngpKHejaL0Rj6j7yDkE=
org.apache.kafka:connect-runtime:4.3.1 nfPS94+KF0CvNY3XjM3xOWVZIj4M+/Gml6uTY96tYXU=
org.apache.kafka:connect-transforms:4.3.1 BguzAJdzBLU/muvnmjKYwGo9QkDLWLAeBuqnWr9BaOs=
org.apache.kafka:kafka-clients:4.3.1 UlAbe0dRDGb4mIca2vbSloq3JGVh1EztQ2Q6ilh/CzY=
org.apache.kafka:kafka-coordinator-common:4.3.1 ZqhrjIlxghb/py/k5EudG980cuTLkgDDagdCol/rvbo=
org.apache.kafka:kafka-group-coordinator:4.3.1 SrVtAC4WJBhch0GZ6eD/skPb659otNDK30jOL2F6ESY=
org.apache.kafka:kafka-group-coordinator-api:4.3.1 2BvBo3Of9smyGBW6rgACIwY0KhbT2U5qJiEgG5mAow0=
org.apache.kafka:kafka-metadata:4.3.1 TXOpbGR0pOvdZ6HO4U2hqUz9a7nm4lJoW6VmfYq3+Jg=
org.apache.kafka:kafka-raft:4.3.1 Rqu/iYBt0i2Ejpl837FDFSTKtOyI44p9KAbiCySnBgk=
org.apache.kafka:kafka-server:4.3.1 Adc2WZ7DsM27BIDBUhkXCyjNrhiXhefwxvHyblKOrrw=
org.apache.kafka:kafka-server-common:4.3.1 18cZ90lXmjmQEfDfdBTeinjxDwdKYSLKpVD9sUE1FXU=
org.apache.kafka:kafka-share-coordinator:4.3.1 jO7tc0YSfmUupcZQsheJCq/xSRn5Z9J/rc5CB0W9MGY=
org.apache.kafka:kafka-storage:4.3.1 l+P6zd0pFKWPKOyR7zX42mmWPqs2URlul/SHkk9trJg=
org.apache.kafka:kafka-storage-api:4.3.1 vCsiY5+lVElEYdEB1ZngG66EDZfE9G4Y/fPS/kGkcJg=
org.apache.kafka:kafka-tools:4.3.1 YvPF3XqjRC1MW8apX4biUCF46gnejif3TZVjv5VeJTw=
org.apache.kafka:kafka-tools-api:4.3.1 3PZ4V0LgyKsRoPwJxi8RkuEemX3GKWaajbgqpA2TPDE=
org.apache.kafka:kafka-transaction-coordinator:4.3.1 xkqqKojY/TgsSAAgSHKRdoblQgQ8eRbJ6Hl9k52OsxM=
org.apache.kafka:kafka_2.13:4.3.1 sJir71/4eOdvYM1sVZubqlZjzLG1Xyg3VYsiwynTJCM=
org.apache.logging.log4j:log4j-api:2.25.4 xLZCp/BHJ1IV3hF+DjhH6yx3EdhKCqdDPns8CW2vNB0=
org.apache.logging.log4j:log4j-core:2.25.4 EP7iwEhdVPpE7nXTFPYpVQj3uTIoGHPbYakbiAcyAOY=
org.apache.logging.log4j:log4j-slf4j-impl:2.25.4 esaKCvzIPVT0jRFteTcKQ/CiprcbXB1t2pQ7tqld26o=
org.apache.maven:maven-artifact:3.9.15 8VTDHxWsl8N7nN+fjWPN5QU8Rw0tr1Tfff07s8nlAcY=
org.bitbucket.b_c:jose4j:0.9.6 cxSvUM3pyZ6Or0Pu5heiPtzGu0MDYiEGQ1UJSZnYN+8=
org.codehaus.plexus:plexus-utils:3.6.1 BaY+/9Z+LWudYQzILivXRzKJ00gC5XpSmygRDyivVnk=
org.eclipse.jetty.ee10:jetty-ee10-servlet:12.0.34 CAMFAcWGi6NI4ONJEhyzSTWGwp1DjHJb92sFWejV9e0=
org.eclipse.jetty.ee10:jetty-ee10-servlets:12.0.34 v5/oQeCfOdSYg4lltX5St58S571eJZ5kXMngpsvpZCY=
org.eclipse.jetty:jetty-alpn-client:12.0.34 3eeKtTOWG7hTqM5aI6kNTdVM1lIunn+QVmyn9E4DXvk=
org.eclipse.jetty:jetty-client:12.0.34 t3t1NagJx4r3ESa5Cu0INsyfmsgNMuXL96BwJazhRAE=
org.eclipse.jetty:jetty-http:12.0.34 Y4kOzFu4vybE3QlS7y0NPdP3Q0s3sh5R9+qN++lrncA=
org.eclipse.jetty:jetty-io:12.0.34 NwTa64KzkEHuXm+BBjbC/LmhBHbNvw/QZ+WE7TEQ1mo=
org.eclipse.jetty:jetty-security:12.0.34 6aWV7/d1hZpUYcDOBeJ6zlGC7h/cGxcBZFP6QcoOFWA=
org.eclipse.jetty:jetty-server:12.0.34 +3oUAbeyNY6cuXV2TFT6xy/OzXrlGZNpBBEYYDzT/X0=
org.eclipse.jetty:jetty-session:12.0.34 oWGuUxxdamlfF6VH/fkHRtzZKfGrrFxgxwYab7INNG8=
org.eclipse.jetty:jetty-util:12.0.34 P4kGzXJCjYfbvAvZFRks4PQm6dt4BdOwM3WIwbbXIG4=
org.glassfish.hk2.external:aopalliance-repackaged:3.0.6 qCttGjSDJO+I3IB8fNeq9jOYXL/3swA2+2GhuGmB2EA=
org.glassfish.hk2:hk2-api:3.0.6 wEmiGp/ZMWx+KRorwog19w0lr/tiPcFZmoO2uE7IOk8=
org.glassfish.hk2:hk2-locator:3.0.6 4mZNIbAXw6oVGLkTJkYCvqYE7cVNNWEDwQr7qZq9BPw=
org.glassfish.hk2:hk2-utils:3.0.6 /ITYWgdEtXbZ7H21hF7rmY7VMqlFDdGcjJIsPuaSYgY=
org.glassfish.hk2:osgi-resource-locator:1.0.3 qrXXhJ98/Nosx8VBuhvTZRUdQidvFRyCU4ckXf3j3XQ=
org.glassfish.jersey.containers:jersey-container-servlet:3.1.10 Sq3GbS02r7Jzs4mFgdaqUeD5kjCNVv1RuOMgHvpGH2c=
org.glassfish.jersey.containers:jersey-container-servlet-core:3.1.10 /RXn43IV13LM2ujUB2xBoRrT/snKiKH4qPbaz0Zju2k=
org.glassfish.jersey.core:jersey-client:3.1.10 ls+GwjtRXaIKMKOWM6kg8SpCDR5fAsVe9Vd8omlNEcY=
org.glassfish.jersey.core:jersey-common:3.1.10 uN9d6H1I1qv1VfNAdVoFbIyymmYK+VjpWduKTLNVK1Q=
org.glassfish.jersey.core:jersey-server:3.1.10 GzOpvkF7cvfO7zr+l4B4G2YSKw8dt48vglApiAcs+rA=
org.glassfish.jersey.inject:jersey-hk2:3.1.10 AO1xxJaoVqwfcyckgqer4ntalrgjwpzAj0twjI0+ZH4=
org.hdrhistogram:HdrHistogram:2.2.2 ItHUMWxOwTpotVnpjIJW1pBxWTcx2pYTZkD4ZPoU+tg=
org.javassist:javassist:3.30.2-GA 66NykJlLXkho86+Y/xE/YkSmsJk4XZrUaIEwfTywGq8=
org.jspecify:jspecify:1.0.0 H61ua+dVd4Hk0zcp1Jrhzcj92m/kd7sMxozjUer9+6s=
org.pcollections:pcollections:4.0.2 K77vV5eiQTAMT3UTzVRiOWKe197aT8DDHfkLuV9fE+8=
org.scala-lang:scala-library:2.13.18 ToXZb/e8fcYnmFUjw1QbmReqoI6VY5E4DELbIaLE5aA=
org.scala-lang:scala-reflect:2.13.18 aTX/GYKyrJPWlfFapmkhvi9gKSEnev4ALwGP2MfW4ps=
org.slf4j:slf4j-api:1.7.36 0+9XXj5JeWeNwBvx3M5RAhSTtNEft/G+itmCh3wWocA=
org.xerial.snappy:snappy-java:1.1.10.7 THZss/hVQV7nNLI5KUmgtvEqYIeTNKdFGN6vYnDTLjY=
org.yaml:snakeyaml:2.5 5mgqzxrOd1CO8TZJy/T40J0s9UV722HSX/tqwCM9eN0=
"""
