//! The world's own client of an API server: what kubelets, operators and people do.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{
    Client, Config, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig as Loaded},
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kubeconfig::Kubeconfig;

/// A client with every right.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// A client from a kubeconfig. Nothing is dialled yet.
    ///
    /// # Errors
    /// When the kubeconfig is not understood.
    pub async fn connect(kubeconfig: &Kubeconfig) -> Result<Self> {
        let loaded: Loaded = serde_json::from_value(kubeconfig.value())?;
        let mut config =
            Config::from_custom_kubeconfig(loaded, &KubeConfigOptions::default()).await?;
        config.connect_timeout = Some(Duration::from_secs(2));
        let client = Client::try_from(config)?;
        Ok(Self { client })
    }

    /// The client itself, for what is not here.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether the server says that it is ready.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<()> {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        let answer = self.client.request_text(request).await?;
        if answer == "ok" {
            return Ok(());
        }
        bail!("/readyz says {answer}")
    }

    /// Creates an object of kind `K`, in the namespace that it names.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create<K: Resource<DynamicType = ()>>(&self, object: Value) -> Result<()> {
        let parameters = PostParams::default();
        self.post::<K>(object, &parameters).await.map(drop)
    }

    /// What an object of kind `K` would become if it were created: webhooks are asked.
    ///
    /// # Errors
    /// What the server says.
    pub async fn rehearse<K: Resource<DynamicType = ()>>(&self, object: Value) -> Result<Value> {
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.post::<K>(object, &parameters).await
    }

    async fn post<K: Resource<DynamicType = ()>>(
        &self,
        object: Value,
        parameters: &PostParams,
    ) -> Result<Value> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let made = self
            .resource::<K>(object.metadata.namespace.as_deref())
            .create(parameters, &object)
            .await
            .with_context(|| {
                let name = object.metadata.name.as_deref().unwrap_or("?");
                format!("cannot create {} {name}", K::kind(&()))
            })?;
        Ok(serde_json::to_value(made)?)
    }

    /// Makes an object of any kind what this says, whoever made it before.
    ///
    /// # Errors
    /// What the server says.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let types = object.types.as_ref().context("an object without a kind")?;
        let kind = GroupVersionKind::try_from(types)?;
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let applied = async {
            let (resource, capabilities) = pinned_kind(&self.client, &kind).await?;
            let client = self.client.clone();
            let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
            let api: kube::Api<DynamicObject> = match capabilities.scope {
                Scope::Cluster => kube::Api::all_with(client, &resource),
                Scope::Namespaced => kube::Api::namespaced_with(client, namespace, &resource),
            };
            let parameters = PatchParams::apply(MANAGER).force();
            api.patch(name, &parameters, &Patch::Apply(&object)).await
        };
        applied
            .await
            .with_context(|| format!("cannot apply {} {name}", kind.kind))?;
        Ok(())
    }

    /// An object, if there is one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn find<K>(&self, namespace: &str, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), namespace);
        Ok(api.get_opt(name).await?)
    }

    /// Merges a patch into an object.
    ///
    /// # Errors
    /// What the server says.
    pub async fn merge<K: Resource<DynamicType = ()>>(
        &self,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<()> {
        self.resource::<K>(namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot patch {} {name}", K::kind(&())))?;
        Ok(())
    }

    /// Merges a status into an object, as kubelets and load balancers do; returns it whole.
    ///
    /// # Errors
    /// What the server says.
    pub async fn set_status<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        name: &str,
        status: Value,
    ) -> Result<Value> {
        let patch = serde_json::json!({ "status": status });
        let set = self
            .resource::<K>(Some(namespace))
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .with_context(|| format!("cannot set the status of {} {name}", K::kind(&())))?;
        Ok(serde_json::to_value(set)?)
    }

    /// Deletes an object, with a grace where its kind knows one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        name: &str,
        grace: Option<Duration>,
    ) -> Result<()> {
        let grace = grace
            .map(|grace| u32::try_from(grace.as_secs()))
            .transpose()?;
        let parameters = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        self.resource::<K>(Some(namespace))
            .delete(name, &parameters)
            .await
            .with_context(|| format!("cannot delete {} {name}", K::kind(&())))?;
        Ok(())
    }

    /// Lists objects by label.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list<K>(&self, namespace: &str, labels: &str) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), namespace);
        Ok(api.list(&ListParams::default().labels(labels)).await?.items)
    }

    /// Asks for a token of an account. With `bound`, it ends with that Secret.
    ///
    /// # Errors
    /// What the server says.
    pub async fn token(
        &self,
        namespace: &str,
        account: &str,
        bound: Option<&Secret>,
    ) -> Result<String> {
        let spec = TokenRequestSpec {
            audiences: None,
            expiration_seconds: Some(TOKEN_SECONDS),
            bound_object_ref: bound.map(|secret| BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: secret.metadata.name.clone(),
                uid: secret.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        };
        self.request_token(namespace, account, spec).await
    }

    /// Asks for a token of an account, as the request says.
    ///
    /// # Errors
    /// What the server says.
    pub async fn request_token(
        &self,
        namespace: &str,
        account: &str,
        spec: TokenRequestSpec,
    ) -> Result<String> {
        let request = TokenRequest {
            spec: Some(spec),
            ..TokenRequest::default()
        };
        let accounts: kube::Api<ServiceAccount> =
            kube::Api::namespaced(self.client.clone(), namespace);
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for {namespace}/{account}"))?;
        let token = answer.status.and_then(|status| status.token);
        token.context("an answer without a token")
    }

    fn resource<K: Resource<DynamicType = ()>>(
        &self,
        namespace: Option<&str>,
    ) -> kube::Api<DynamicObject> {
        let kind = ApiResource::erase::<K>(&());
        match namespace {
            Some(namespace) => kube::Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => kube::Api::all_with(self.client.clone(), &kind),
        }
    }
}

/// Whose fields the fields are that are applied.
const MANAGER: &str = "world";
const TOKEN_SECONDS: i64 = 6 * 3600;
