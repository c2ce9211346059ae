//! What the steps of the recorded gateway come to, by hand compared with what was done
//! in each (the recording's list of steps).

/// Where istiod says to listen.
pub(crate) const LISTENERS: &[&str] = &[
    "0.0.0.0_15012 0.0.0.0:15012",
    "0.0.0.0_15017 0.0.0.0:15017",
    "0.0.0.0_15443 0.0.0.0:15443",
];

/// The routes after the first answers.
pub(crate) const INITIAL: &[&str] = &[
    "+ 0.0.0.0_15012 *: 10.1.0.2:15012",
    "+ 0.0.0.0_15017 *: 10.1.0.2:15017",
    "+ 0.0.0.0_15443 outbound_.15010_._.istiod.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15012_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15012_._.istiod.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15014_._.istiod.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15017_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15021_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.15443_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.27017_._.mongo.demo.svc.cluster.local: 10.1.0.80:27017",
    "+ 0.0.0.0_15443 outbound_.443_._.istiod.istio-system.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.443_._.kubernetes.default.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.7070_._.multi.demo.svc.cluster.local: 10.1.0.40:7070",
    "+ 0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local: 10.1.0.20:8080",
    "+ 0.0.0.0_15443 outbound_.80_._.echo.demo.svc.cluster.local: 127.0.1.50:5080",
    "+ 0.0.0.0_15443 outbound_.80_._.flaky.demo.svc.cluster.local: 10.1.0.70:8080, 10.1.0.71:8080 unhealthy",
    "+ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
    "+ 0.0.0.0_15443 outbound_.80_._.legacy.demo.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.80_._.mixed.demo.svc.cluster.local: 10.1.0.60:8080",
    "+ 0.0.0.0_15443 outbound_.80_._.multi.demo.svc.cluster.local: 10.1.0.40:8080",
    "+ 0.0.0.0_15443 outbound_.80_._.only1.demo.svc.cluster.local: 10.1.0.90:8080",
    "+ 0.0.0.0_15443 outbound_.80_._.only2.demo.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
    "+ 0.0.0.0_15443 outbound_.80_.v2_.helloworld.demo.svc.cluster.local: ",
    "+ 0.0.0.0_15443 outbound_.9000_._.multi.demo.svc.cluster.local: 10.1.0.40:9000",
    "+ 0.0.0.0_15443 outbound_.9042_._.cassandra.demo.svc.cluster.local: 10.1.0.30:9042, 10.1.0.31:9042",
];

/// Each later step, and what it changes.
pub(crate) const STEPS: &[(&str, &[&str])] = &[
    (
        "01-add-service-object-only",
        &["+ 0.0.0.0_15443 outbound_.80_._.newsvc.demo.svc.cluster.local: "],
    ),
    (
        "02-add-first-endpoint",
        &["~ 0.0.0.0_15443 outbound_.80_._.newsvc.demo.svc.cluster.local: 10.1.0.100:8080"],
    ),
    (
        "03-add-second-endpoint",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.newsvc.demo.svc.cluster.local: 10.1.0.100:8080, 10.1.0.101:8080",
        ],
    ),
    (
        "04-remove-service",
        &["- 0.0.0.0_15443 outbound_.80_._.newsvc.demo.svc.cluster.local"],
    ),
    (
        "06-remove-one-port-of-service",
        &["- 0.0.0.0_15443 outbound_.9000_._.multi.demo.svc.cluster.local"],
    ),
    (
        "07-restore-port",
        &["+ 0.0.0.0_15443 outbound_.9000_._.multi.demo.svc.cluster.local: 10.1.0.40:9000"],
    ),
    (
        "08-scale-endpoint-to-zero",
        &["~ 0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local: "],
    ),
    (
        "09-scale-back",
        &["~ 0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local: 10.1.0.20:8080"],
    ),
    (
        "10-endpoint-not-ready",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000 unhealthy, 10.1.0.11:5000",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000 unhealthy, 10.1.0.11:5000",
        ],
    ),
    (
        "11-endpoint-ready-again",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
        ],
    ),
    (
        "12-not-ready-terminating-unset",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.11:5000",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.11:5000",
        ],
    ),
    (
        "14-ready-again",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
        ],
    ),
    ("15-remote-gateway-address-change", &[]),
    ("16-remote-gateway-two-addresses", &[]),
    ("17-remote-gateway-restore", &[]),
    ("18-own-gateway-address-change", &[]),
    ("19-own-gateway-restore", &[]),
    ("20-remote-endpoint-added", &[]),
    ("21-remote-endpoint-not-ready", &[]),
    (
        "22-destinationrule-add-subset",
        &["+ 0.0.0.0_15443 outbound_.80_.v3_.helloworld.demo.svc.cluster.local: "],
    ),
    (
        "23-destinationrule-remove-subset",
        &["- 0.0.0.0_15443 outbound_.80_.v3_.helloworld.demo.svc.cluster.local"],
    ),
    (
        "24-peerauthentication-disable",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: ",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: ",
        ],
    ),
    (
        "25-peerauthentication-removed",
        &[
            "~ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
            "~ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
        ],
    ),
    (
        "26-authorizationpolicy-on-gateway",
        &["~ 0.0.0.0_15012 *: closed ", "~ 0.0.0.0_15017 *: closed "],
    ),
    (
        "27-authorizationpolicy-removed",
        &[
            "~ 0.0.0.0_15012 *: 10.1.0.2:15012",
            "~ 0.0.0.0_15017 *: 10.1.0.2:15017",
        ],
    ),
    (
        "28-gateway-resource-deleted",
        &[
            "- 0.0.0.0_15443 outbound_.15010_._.istiod.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15012_._.istio-eastwestgateway.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15012_._.istiod.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15014_._.istiod.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15017_._.istio-eastwestgateway.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15021_._.istio-eastwestgateway.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.15443_._.istio-eastwestgateway.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.27017_._.mongo.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.443_._.istiod.istio-system.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.443_._.kubernetes.default.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.7070_._.multi.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.echo.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.flaky.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.legacy.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.mixed.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.multi.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.only1.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_._.only2.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.80_.v2_.helloworld.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.9000_._.multi.demo.svc.cluster.local",
            "- 0.0.0.0_15443 outbound_.9042_._.cassandra.demo.svc.cluster.local",
        ],
    ),
    (
        "29-gateway-resource-restored",
        &[
            "+ 0.0.0.0_15443 outbound_.15010_._.istiod.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15012_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15012_._.istiod.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15014_._.istiod.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15017_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15021_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.15443_._.istio-eastwestgateway.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.27017_._.mongo.demo.svc.cluster.local: 10.1.0.80:27017",
            "+ 0.0.0.0_15443 outbound_.443_._.istiod.istio-system.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.443_._.kubernetes.default.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.7070_._.multi.demo.svc.cluster.local: 10.1.0.40:7070",
            "+ 0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local: 10.1.0.20:8080",
            "+ 0.0.0.0_15443 outbound_.80_._.echo.demo.svc.cluster.local: 127.0.1.50:5080",
            "+ 0.0.0.0_15443 outbound_.80_._.flaky.demo.svc.cluster.local: 10.1.0.70:8080, 10.1.0.71:8080 unhealthy",
            "+ 0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
            "+ 0.0.0.0_15443 outbound_.80_._.legacy.demo.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.80_._.mixed.demo.svc.cluster.local: 10.1.0.60:8080",
            "+ 0.0.0.0_15443 outbound_.80_._.multi.demo.svc.cluster.local: 10.1.0.40:8080",
            "+ 0.0.0.0_15443 outbound_.80_._.only1.demo.svc.cluster.local: 10.1.0.90:8080",
            "+ 0.0.0.0_15443 outbound_.80_._.only2.demo.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.80_.v1_.helloworld.demo.svc.cluster.local: 10.1.0.10:5000, 10.1.0.11:5000",
            "+ 0.0.0.0_15443 outbound_.80_.v2_.helloworld.demo.svc.cluster.local: ",
            "+ 0.0.0.0_15443 outbound_.9000_._.multi.demo.svc.cluster.local: 10.1.0.40:9000",
            "+ 0.0.0.0_15443 outbound_.9042_._.cassandra.demo.svc.cluster.local: 10.1.0.30:9042, 10.1.0.31:9042",
        ],
    ),
    (
        "30-remote-secret-deleted",
        &["- 0.0.0.0_15443 outbound_.80_._.only2.demo.svc.cluster.local"],
    ),
    (
        "31-remote-secret-added",
        &["+ 0.0.0.0_15443 outbound_.80_._.only2.demo.svc.cluster.local: "],
    ),
    ("32-remote-secret-rotated-new-token", &[]),
];
