//! One Service of a crowd, with its Pods and its EndpointSlice.

use std::{net::Ipv4Addr, ops::Range, time::SystemTime};

use anyhow::{Context, Result};
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Pod, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Request},
};
use serde::Deserialize;
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

/// All that is read of an answer.
#[derive(Deserialize)]
struct Answer {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: Option<String>,
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
    pub(super) fn new(api: Api, plan: ClusterPlan, diary: Diary, number: u16, each: u8) -> Self {
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
        self.post::<Service>("services", &self.service_object())
            .await?;
        for member in &self.members {
            self.create_pod(member).await?;
        }
        let begun = SystemTime::now();
        self.post::<EndpointSlice>("endpointslices", &self.slice())
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

    /// Lets these members go with one write of the slice; counts round and round.
    pub(super) async fn leave(&mut self, numbers: Range<usize>, way: Way) -> Result<()> {
        let begun = SystemTime::now();
        for number in numbers {
            let index = number % self.members.len();
            let member = &mut self.members[index];
            member.present = false;
            self.diary.write(begun, member.socket(), false);
            if way == Way::Pod {
                member.has_pod = false;
                let pod = member.pod.clone();
                self.delete::<Pod>(&pod).await?;
            }
        }
        self.write_slice().await
    }

    /// Lets them come back.
    pub(super) async fn come(&mut self, numbers: Range<usize>) -> Result<()> {
        for number in numbers.clone() {
            let index = number % self.members.len();
            if !self.members[index].has_pod {
                let member = &mut self.members[index];
                member.pod = format!("{}-{index}-{}", self.service, member.pods);
                member.pods += 1;
                self.create_pod(&self.members[index]).await?;
            }
        }
        let begun = SystemTime::now();
        for number in numbers {
            let index = number % self.members.len();
            let member = &mut self.members[index];
            (member.present, member.has_pod) = (true, true);
            self.diary.write(begun, member.socket(), true);
        }
        self.write_slice().await
    }

    async fn create_pod(&self, member: &Member) -> Result<()> {
        let workload = Workload {
            name: "crowd",
            namespace: NAMESPACE,
            account: "helloworld",
            labels: labels(&[("security.istio.io/tlsMode", "istio")]),
            role: Role::Bare { version: "none" },
            address: None,
        };
        let pod = objects::pod(&self.plan, &workload, &member.pod);
        self.post::<Pod>("pods", &pod).await?;
        let status = objects::pod_status(member.address, self.plan.node(), true);
        let patch = Patch::Merge(json!({ "status": status }));
        let request = collection::<Pod>().patch_subresource(
            "status",
            &member.pod,
            &PatchParams::default(),
            &patch,
        );
        self.send("pods", request?).await
    }

    async fn write_slice(&self) -> Result<()> {
        let patch = Patch::Merge(json!({ "endpoints": self.slice()["endpoints"] }));
        let slices = collection::<EndpointSlice>();
        let request = slices.patch(&self.service, &PatchParams::default(), &patch)?;
        self.send("endpointslices", request)
            .await
            .with_context(|| format!("cannot change the slice {}", self.service))
    }

    async fn post<K>(&self, resource: &'static str, object: &Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let body = serde_json::to_vec(object)?;
        let request = collection::<K>().create(&PostParams::default(), body)?;
        self.send(resource, request).await
    }

    async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let now = DeleteParams::default().grace_period(0);
        let request = collection::<K>().delete(name, &now)?;
        self.diary.request();
        self.api.client().request_text(request).await?;
        Ok(())
    }

    /// Sends what changes a resource, and writes down the version that it got.
    async fn send(
        &self,
        resource: &'static str,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<()> {
        let brief = HeaderValue::from_static(METADATA_ONLY);
        request.headers_mut().insert(ACCEPT, brief);
        self.diary.request();
        let answer: Answer = self.api.client().request(request).await?;
        let version = answer.metadata.resource_version;
        self.diary.version_given(resource, version.as_deref())
    }

    /// Without a selector: its slices are ours to write.
    fn service_object(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
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
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": self.service,
                "namespace": NAMESPACE,
                "labels": {
                    "kubernetes.io/service-name": self.service,
                    "endpointslice.kubernetes.io/managed-by": super::MANAGER,
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

fn collection<K>() -> Request
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Request::new(K::url_path(&(), Some(NAMESPACE)))
}

/// Whole objects in answers would cost more than what is measured.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Where all of the crowd is.
pub(super) const NAMESPACE: &str = "sample";
