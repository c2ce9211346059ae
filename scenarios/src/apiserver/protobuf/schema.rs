//! Numbers and names of fields, as in Kubernetes' `generated.proto`. Times are left out: what a
//! client says of them is the server's to say.

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) many: Many,
}

/// What is in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Base64 in JSON.
    Bytes,
    Number,
    Flag,
    Message(&'static [Field]),
}

/// How often a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    One,
    List,
    /// By text.
    Map,
}

impl Field {
    pub(super) const fn one(number: u64, name: &'static str, kind: Kind) -> Self {
        Self {
            number,
            name,
            kind,
            many: Many::One,
        }
    }

    const fn list(number: u64, name: &'static str, kind: Kind) -> Self {
        Self {
            many: Many::List,
            ..Self::one(number, name, kind)
        }
    }

    const fn map(number: u64, name: &'static str, kind: Kind) -> Self {
        Self {
            many: Many::Map,
            ..Self::one(number, name, kind)
        }
    }

    const fn text(number: u64, name: &'static str) -> Self {
        Self::one(number, name, Kind::Text)
    }
}

/// The envelope of every object.
pub(super) const UNKNOWN: &[Field] = &[Field::one(
    1,
    "typeMeta",
    Kind::Message(&[Field::text(1, "apiVersion"), Field::text(2, "kind")]),
)];

/// The objects that are known, by kind.
pub(super) const OBJECTS: &[(&str, &[Field])] = &[
    (
        "Namespace",
        &[
            METADATA,
            Field::one(
                2,
                "spec",
                Kind::Message(&[Field::list(1, "finalizers", Kind::Text)]),
            ),
        ],
    ),
    (
        "ConfigMap",
        &[
            METADATA,
            Field::map(2, "data", Kind::Text),
            Field::map(3, "binaryData", Kind::Bytes),
            Field::one(4, "immutable", Kind::Flag),
        ],
    ),
    (
        "Secret",
        &[
            METADATA,
            Field::map(2, "data", Kind::Bytes),
            Field::text(3, "type"),
            Field::map(4, "stringData", Kind::Text),
            Field::one(5, "immutable", Kind::Flag),
        ],
    ),
    (
        "ServiceAccount",
        &[
            METADATA,
            Field::list(
                3,
                "imagePullSecrets",
                Kind::Message(&[Field::text(1, "name")]),
            ),
            Field::one(4, "automountServiceAccountToken", Kind::Flag),
        ],
    ),
    (
        "TokenRequest",
        &[
            METADATA,
            Field::one(
                2,
                "spec",
                Kind::Message(&[
                    Field::list(1, "audiences", Kind::Text),
                    Field::one(3, "boundObjectRef", Kind::Message(BOUND)),
                    Field::one(4, "expirationSeconds", Kind::Number),
                ]),
            ),
        ],
    ),
    (
        "TokenReview",
        &[
            METADATA,
            Field::one(
                2,
                "spec",
                Kind::Message(&[
                    Field::text(1, "token"),
                    Field::list(2, "audiences", Kind::Text),
                ]),
            ),
        ],
    ),
    ("SelfSubjectReview", &[METADATA]),
    (
        "SelfSubjectAccessReview",
        &[
            METADATA,
            Field::one(2, "spec", Kind::Message(&[RESOURCE, PATH])),
        ],
    ),
    (
        "SubjectAccessReview",
        &[
            METADATA,
            Field::one(
                2,
                "spec",
                Kind::Message(&[
                    RESOURCE,
                    PATH,
                    Field::text(3, "user"),
                    Field::list(4, "groups", Kind::Text),
                    Field::text(6, "uid"),
                ]),
            ),
        ],
    ),
    (
        "DeleteOptions",
        &[
            Field::one(1, "gracePeriodSeconds", Kind::Number),
            Field::one(
                2,
                "preconditions",
                Kind::Message(&[Field::text(1, "uid"), Field::text(2, "resourceVersion")]),
            ),
            Field::one(3, "orphanDependents", Kind::Flag),
            Field::text(4, "propagationPolicy"),
            Field::list(5, "dryRun", Kind::Text),
        ],
    ),
];

const METADATA: Field = Field::one(
    1,
    "metadata",
    Kind::Message(&[
        Field::text(1, "name"),
        Field::text(2, "generateName"),
        Field::text(3, "namespace"),
        Field::text(5, "uid"),
        Field::text(6, "resourceVersion"),
        Field::map(11, "labels", Kind::Text),
        Field::map(12, "annotations", Kind::Text),
        Field::list(14, "finalizers", Kind::Text),
    ]),
);
const BOUND: &[Field] = &[
    Field::text(1, "kind"),
    Field::text(2, "apiVersion"),
    Field::text(3, "name"),
    Field::text(4, "uid"),
];
const RESOURCE: Field = Field::one(
    1,
    "resourceAttributes",
    Kind::Message(&[
        Field::text(1, "namespace"),
        Field::text(2, "verb"),
        Field::text(3, "group"),
        Field::text(4, "version"),
        Field::text(5, "resource"),
        Field::text(6, "subresource"),
        Field::text(7, "name"),
    ]),
);
const PATH: Field = Field::one(
    2,
    "nonResourceAttributes",
    Kind::Message(&[Field::text(1, "path"), Field::text(2, "verb")]),
);
