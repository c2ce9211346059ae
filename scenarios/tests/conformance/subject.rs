//! A server that is asked, and the scene in which a case asks it.

use anyhow::{Context, Result};
use hyper::body::Bytes;
use k8s_openapi::ByteString;
use scenarios::{
    apiserver::{ApiServer, ApiServerConfig},
    kubectl::Kubectl,
    peers,
    probe::eventually,
    world::{api::Api, kubeconfig::Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    cases::Case,
    http::{Ask, Http, Lines},
    normal::Normal,
    real::{Parts, Real},
    transcript::{Step, Transcript},
};

/// A server that is asked.
pub(crate) struct Subject {
    server: Server,
    pub(crate) http: Http,
    pub(crate) api: Api,
    kubeconfig: Kubeconfig,
    kubectl: Option<Kubectl>,
}

enum Server {
    Embedded(Box<ApiServer>),
    Real(Box<Mutex<Real>>),
}

/// One case on one server.
pub(crate) struct Scene<'a> {
    pub(crate) subject: &'a Subject,
    /// The case's own namespace.
    pub(crate) space: String,
    pub(crate) normal: Normal,
    told: Transcript,
}

impl Subject {
    pub(crate) async fn embedded() -> Result<Self> {
        let server = ApiServer::start(ApiServerConfig::new("embedded")).await?;
        let kubeconfig = server.kubeconfig().clone();
        Self::new(Server::Embedded(Box::new(server)), kubeconfig).await
    }

    pub(crate) async fn real(parts: &Parts) -> Result<Self> {
        let real = Real::start(parts).await?;
        let kubeconfig = real.plane.kubeconfig().clone();
        Self::new(Server::Real(Box::new(Mutex::new(real))), kubeconfig).await
    }

    async fn new(server: Server, kubeconfig: Kubeconfig) -> Result<Self> {
        let address = kubeconfig.server.trim_start_matches("https://").parse()?;
        let authority: ByteString = serde_json::from_value(json!(kubeconfig.authority))?;
        let kubectl = peers::kubectl().ok();
        let kubectl = kubectl
            .map(|binary| Kubectl::new(&binary, &kubeconfig.yaml()?, EDITOR))
            .transpose()?;
        Ok(Self {
            server,
            http: Http::new(address, std::str::from_utf8(&authority.0)?)?,
            api: Api::connect(&kubeconfig).await?,
            kubeconfig,
            kubectl,
        })
    }

    /// Plays a case.
    pub(crate) async fn play(&self, case: &Case) -> Result<Transcript> {
        let mut scene = Scene {
            subject: self,
            space: format!("case-{}", case.name.replace('_', "-")),
            normal: Normal::default(),
            told: Transcript::default(),
        };
        let played = async {
            scene.begin().await?;
            (case.play)(&mut scene).await?;
            scene.end().await
        };
        let played = played
            .await
            .with_context(|| format!("{} at {}", case.name, self.name()));
        if let (Err(_), Server::Real(real)) = (&played, &self.server) {
            real.lock().await.keep_logs();
        }
        played.map(|()| scene.told)
    }

    /// Forgets history: who asks for the past is answered 410.
    pub(crate) async fn forget(&self) -> Result<()> {
        match &self.server {
            Server::Embedded(server) => server.compact(),
            Server::Real(real) => real.lock().await.forget().await?,
        }
        Ok(())
    }

    pub(crate) async fn end(self) {
        if let Server::Embedded(server) = self.server {
            server.stop().await;
        }
    }

    pub(crate) fn admin(&self) -> &str {
        &self.kubeconfig.token
    }

    pub(crate) fn kubectl(&self) -> Result<&Kubectl> {
        self.kubectl.as_ref().context("no kubectl")
    }

    fn name(&self) -> &'static str {
        match self.server {
            Server::Embedded(_) => "the embedded server",
            Server::Real(_) => "the real server",
        }
    }
}

impl Scene<'_> {
    /// Asks as the admin, and notes the answer.
    pub(crate) async fn ask(&mut self, must: bool, title: &str, ask: Ask<'_>) -> Result<Value> {
        let token = self.subject.admin().to_owned();
        let ask = Ask {
            method: if ask.method.is_empty() {
                "GET"
            } else {
                ask.method
            },
            token: Some(ask.token.unwrap_or(&token)).filter(|token| !token.is_empty()),
            ..ask
        };
        let answer = self
            .subject
            .http
            .ask(&ask)
            .await
            .with_context(|| title.to_owned())?;
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_else(|_| json!(answer.text));
        let shown = json!({
            "status": answer.status,
            "media": answer.media,
            "retryAfter": answer.retry_after,
            "body": self.normal.value(&body),
        });
        self.note(must, title, shown);
        Ok(body)
    }

    /// GET, which must be answered alike.
    pub(crate) async fn get(&mut self, title: &str, path: &str) -> Result<Value> {
        self.ask(
            true,
            title,
            Ask {
                path,
                ..Ask::default()
            },
        )
        .await
    }

    /// Sends an object, which must be answered alike.
    pub(crate) async fn send(
        &mut self,
        title: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value> {
        let body = Some(Bytes::from(body.to_string()));
        self.ask(
            true,
            title,
            Ask {
                method,
                path,
                body,
                ..Ask::default()
            },
        )
        .await
    }

    /// Creates something that is needed and not asked about.
    pub(crate) async fn given(&self, path: &str, body: &Value) -> Result<Value> {
        let ask = Ask {
            method: "POST",
            path,
            token: Some(self.subject.admin()),
            body: Some(Bytes::from(body.to_string())),
            ..Ask::default()
        };
        let answer = self.subject.http.ask(&ask).await?;
        anyhow::ensure!(answer.status == 201, "{path}: {}", answer.text);
        Ok(serde_json::from_str(&answer.text)?)
    }

    /// Reads something that is not asked about.
    pub(crate) async fn look(&self, path: &str) -> Result<Value> {
        let ask = Ask {
            method: "GET",
            path,
            token: Some(self.subject.admin()),
            ..Ask::default()
        };
        let answer = self.subject.http.ask(&ask).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {}", answer.text);
        Ok(serde_json::from_str(&answer.text)?)
    }

    /// Changes something, which is not asked about.
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let ask = Ask {
            method: "PATCH",
            path,
            token: Some(self.subject.admin()),
            media: Some("application/merge-patch+json"),
            body: Some(Bytes::from(patch.to_string())),
            ..Ask::default()
        };
        let answer = self.subject.http.ask(&ask).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {}", answer.text);
        Ok(serde_json::from_str(&answer.text)?)
    }

    /// Deletes something, which is not asked about.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        let ask = Ask {
            method: "DELETE",
            path,
            token: Some(self.subject.admin()),
            ..Ask::default()
        };
        let answer = self.subject.http.ask(&ask).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {}", answer.text);
        Ok(())
    }

    /// Begins a watch.
    pub(crate) async fn watch(&self, path: &str, accept: Option<&str>) -> Result<Lines> {
        let ask = Ask {
            method: "GET",
            path,
            token: Some(self.subject.admin()),
            accept,
            ..Ask::default()
        };
        self.subject.http.follow(&ask).await
    }

    /// Notes events that must be alike: those of this case, and bookmarks.
    pub(crate) fn heard(&mut self, title: &str, events: &[Value]) {
        let mine = |event: &&Value| {
            let metadata = &event["object"]["metadata"];
            let text = |name: &str| metadata[name].as_str().unwrap_or_default();
            matches!(event["type"].as_str(), Some("BOOKMARK" | "ERROR"))
                || text("namespace") == self.space
                || text("name").contains(&self.space)
        };
        let events: Vec<Value> = events.iter().filter(mine).cloned().collect();
        let shown = self.normal.value(&json!(events));
        self.note(true, title, shown);
    }

    /// Runs kubectl, and notes what it says.
    pub(crate) async fn kubectl(&mut self, must: bool, line: &str, input: &str) -> Result<()> {
        let arguments: Vec<&str> = line.split(' ').collect();
        let space = self.space.clone();
        let arguments = [&["-n", &space][..], &arguments].concat();
        let said = self.subject.kubectl()?.run(&arguments, input).await?;
        let shown = json!({
            "code": said.code,
            "out": self.normal.text(&said.out),
            "err": self.normal.text(&said.err),
        });
        self.note(must, &format!("kubectl {line}"), shown);
        Ok(())
    }

    pub(crate) fn note(&mut self, must: bool, title: &str, told: Value) {
        self.told.steps.push(Step {
            title: title.to_owned(),
            must,
            told,
        });
    }

    /// Waits until a path says what is wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let limit = std::time::Duration::from_secs(60);
        eventually(path, limit, async || {
            let found = self.look(path).await?;
            anyhow::ensure!(wanted(&found), "{found:#}");
            Ok(found)
        })
        .await
    }

    /// Waits until a collection is served from memory: a real server that was started again
    /// answers 429 until it is.
    pub(crate) async fn awake(&self, path: &str) -> Result<()> {
        let path = format!("{path}?resourceVersion=0");
        self.until(&path, |list| list["items"].is_array())
            .await
            .map(drop)
    }

    async fn begin(&self) -> Result<()> {
        let space = json!({ "metadata": { "name": self.space } });
        self.given("/api/v1/namespaces", &space).await?;
        let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", self.space);
        self.until(&account, |_| true).await?;
        Ok(())
    }

    async fn end(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}", self.space);
        self.delete(&path).await?;
        let limit = std::time::Duration::from_secs(120);
        eventually("the namespace is gone", limit, async || {
            let left = self.look(&path).await;
            anyhow::ensure!(left.is_err(), "{:#}", left?);
            Ok(())
        })
        .await
    }
}

/// What `kubectl edit` calls: changes a port and adds a label.
const EDITOR: &str =
    "sed -i -e 's/port: 80$/port: 81/' -e 's/^  name: edited$/&\\n  labels: {by: editor}/'";
