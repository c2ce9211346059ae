//! One Service of a crowd, with its Pods and its EndpointSlice.

use std::{fmt::Debug, net::Ipv4Addr, time::SystemTime};

use anyhow::{Context, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Pod, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Diary, address};
use crate::{
    topology::{APP_PORT, ClusterPlan, Role, Workload, labels},
    world::{
        api::Api,
        objects::{self, EXPORT_LABEL},
    },
};

/// A service with its endpoints.
#[derive(Debug)]
pub(super) struct Group {
    api: Api,
    plan: ClusterPlan,
    diary: Diary,
    service: String,
    members: Vec<Member>,
}

/// How an endpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Out of its slice.
    Slice,
    /// Its Pod is deleted first.
    Pod,
}

#[derive(Debug)]
struct Member {
    /// The name of its Pod: each is given once, as by a ReplicaSet. A Pod that came back under
    /// its name and address within a moment would be told from its forerunner by nobody.
    pod: String,
    pods: u32,
    address: Ipv4Addr,
    present: bool,
    has_pod: bool,
}

impl Way {
    /// Every `nth` by way of its Pod.
    pub(super) fn alternate(number: usize, nth: usize) -> Self {
        match number.is_multiple_of(nth) {
            true => Self::Pod,
            false => Self::Slice,
        }
    }
}

impl Group {
    pub(super) fn new(api: Api, plan: ClusterPlan, diary: Diary, number: u8, each: u8) -> Self {
        let service = format!("crowd-{number}");
        let members = (0..each).map(|member| Member {
            pod: format!("{service}-{member}"),
            pods: 1,
            address: address(number, member),
            present: true,
            has_pod: true,
        });
        Self {
            members: members.collect(),
            api,
            plan,
            diary,
            service,
        }
    }

    pub(super) async fn create(&self) -> Result<()> {
        self.post::<Service>("services", self.service_object())
            .await?;
        for index in 0..self.members.len() {
            self.create_pod(index).await?;
        }
        let begun = SystemTime::now();
        self.post::<EndpointSlice>("endpointslices", self.slice())
            .await?;
        for member in &self.members {
            self.diary.write(begun, member.socket(), true);
        }
        Ok(())
    }

    pub(super) fn present(&self) -> impl Iterator<Item = String> {
        let present = self.members.iter().filter(|member| member.present);
        present.map(Member::socket)
    }

    /// Counts members round and round.
    pub(super) async fn leave(&mut self, number: usize, way: Way) -> Result<()> {
        let index = number % self.members.len();
        let begun = SystemTime::now();
        let member = &mut self.members[index];
        member.present = false;
        self.diary.write(begun, member.socket(), false);
        if way == Way::Pod {
            member.has_pod = false;
            let pods: kube::Api<Pod> = self.resource();
            let now = DeleteParams::default().grace_period(0);
            pods.delete(&self.members[index].pod, &now).await?;
        }
        self.write_slice().await
    }

    pub(super) async fn come(&mut self, number: usize) -> Result<()> {
        let index = number % self.members.len();
        let begun = SystemTime::now();
        if !self.members[index].has_pod {
            let member = &mut self.members[index];
            member.pod = format!("{}-{index}-{}", self.service, member.pods);
            member.pods += 1;
            self.create_pod(index).await?;
        }
        let member = &mut self.members[index];
        (member.present, member.has_pod) = (true, true);
        self.diary.write(begun, member.socket(), true);
        self.write_slice().await
    }

    async fn create_pod(&self, index: usize) -> Result<()> {
        let member = &self.members[index];
        let workload = Workload {
            name: "crowd",
            namespace: NAMESPACE,
            account: "helloworld",
            labels: labels(&[("security.istio.io/tlsMode", "istio")]),
            role: Role::Bare { version: "none" },
            address: None,
        };
        let pod = objects::pod(&self.plan, &workload, &member.pod);
        self.post::<Pod>("pods", pod).await?;
        let status = objects::pod_status(member.address, self.plan.node(), true);
        let pods: kube::Api<Pod> = self.resource();
        let patch = Patch::Merge(json!({ "status": status }));
        let pod = pods
            .patch_status(&member.pod, &PatchParams::default(), &patch)
            .await?;
        let version = pod.metadata.resource_version;
        self.diary.version_given("pods", version.as_deref())
    }

    async fn write_slice(&self) -> Result<()> {
        let slices: kube::Api<EndpointSlice> = self.resource();
        let patch = Patch::Merge(json!({ "endpoints": self.slice()["endpoints"] }));
        let slice = slices
            .patch(&self.service, &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("cannot change the slice {}", self.service))?;
        let version = slice.metadata.resource_version;
        self.diary
            .version_given("endpointslices", version.as_deref())
    }

    async fn post<K>(&self, resource: &'static str, object: Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api: kube::Api<K> = self.resource();
        let object = serde_json::from_value(object)?;
        let made = api.create(&PostParams::default(), &object).await?;
        let version = made.meta().resource_version.as_deref();
        self.diary.version_given(resource, version)
    }

    fn resource<K>(&self) -> kube::Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        kube::Api::namespaced(self.api.client(), NAMESPACE)
    }

    /// Without a selector: its slices are ours to write.
    fn service_object(&self) -> Value {
        json!({
            "metadata": {
                "name": self.service,
                "namespace": NAMESPACE,
                "labels": { EXPORT_LABEL: "true" },
            },
            "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": APP_PORT }] },
        })
    }

    fn slice(&self) -> Value {
        let present = self.members.iter().filter(|member| member.present);
        let endpoints: Vec<Value> = present.map(|member| self.endpoint(member)).collect();
        json!({
            "metadata": {
                "name": self.service,
                "namespace": NAMESPACE,
                "labels": {
                    "kubernetes.io/service-name": self.service,
                    "endpointslice.kubernetes.io/managed-by": "crowd",
                },
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{ "name": "http", "port": APP_PORT, "protocol": "TCP" }],
        })
    }

    fn endpoint(&self, member: &Member) -> Value {
        json!({
            "addresses": [member.address],
            "conditions": { "ready": true },
            "nodeName": self.plan.node_name(),
            "targetRef": { "kind": "Pod", "name": member.pod, "namespace": NAMESPACE },
        })
    }
}

impl Member {
    fn socket(&self) -> String {
        format!("{}:{APP_PORT}", self.address)
    }
}

const NAMESPACE: &str = "sample";
