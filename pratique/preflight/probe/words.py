"""Words that a report may tell: none of them is a tenant's own name. All in lower case.

Sources of the keys: Microsoft's transition guide for individual recommendations, its queries, and what tenants showed.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\S+", text))


#: Words of resource ids, image references and URLs.
STRUCTURE = _words(
    """
    subscriptions resourcegroups providers registries repositories images manifests tags blobs assessments
    subassessments containerimage subscription tenant sha256 sha512 http https v1 v2 azurecr io us cn cr com net azure
    windows core vault geo data microsoft containerregistry security resources insights operationalinsights workspaces
    application vnd oci docker distribution image manifest index list config json cose jose tar gzip layer artifact
    quarantine live
    """
)
#: Keys whose values are words of a vocabulary.
VOCABULARIES = _words(
    """
    severity code cause fixstatus packagetype resourcetype resourceprovider source recommendationcategory category
    assessmenttype language status type key method assessedresourcetype cvsssource report-type scanner operationname
    resulttype pricingtier subplan displaystatus provisioningstate isenabled isexploitkitavailable predicatetype _type
    mediatype artifacttype in-toto.io/predicate-type ostype osplatform roleassignmentmode
    """
)
#: Keys whose values are media types or predicate types.
TYPES = _words("predicatetype _type mediatype artifacttype in-toto.io/predicate-type")
#: Keys whose values are ids or references.
REFERENCES = _words(
    """
    id resourceid resourcename registryhost repositoryname imageuri artifactid imagedigest registryname
    nativeresourceid uri login_server loginserver org.opencontainers.image.title
    """
)
#: All keys that are shown as they are, even if something in the tenant has the same name.
KEYS = (
    VOCABULARIES
    | REFERENCES
    | _words(
        """
        properties metadata resourcedetails resourceadditionaldata additionaldata digest repositorydetails
        lastpushedtoregistryutc softwarename softwarevendor fixedversion detectedsoftwareversions scannersdetails mdvm
        agentlessmdvm cvesdetails cveid cvss base description displayname statuschangedate firstevaluationdate
        additionalidentifiers extendeddescription publisheddate lastmodifieddate weaknesses exploitabilitydetails
        references tags value annotations layers config subject data size result db lastupdate predicate scanstartedon
        scanfinishedon version name artifactdetails vulnerabilitydetails softwaredetails packagename timegenerated
        createdtime policies
        """
    )
)
