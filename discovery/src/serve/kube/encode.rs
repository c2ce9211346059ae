//! Answers as JSON text.

use std::{fmt::Write as _, time::SystemTime};

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::{
    accept::{Form, Include},
    item::Item,
    list::Page,
    resource::Resource,
    table,
    watch::Event,
};

/// What is needed to write objects of a type down.
#[derive(Debug, Clone)]
pub struct Encoder<'a> {
    /// The type.
    pub resource: &'a Resource,
    /// The form.
    pub form: Form,
    /// The time, for ages in tables.
    pub now: SystemTime,
}

impl Encoder<'_> {
    /// One object.
    #[must_use]
    pub fn object(&self, item: &Item) -> Bytes {
        match self.form {
            Form::Whole => whole(self.resource, item),
            Form::Metadata => partial(item),
            Form::Table(_) => self.table(
                &json!({ "resourceVersion": text(item.version()) }),
                &[item],
                true,
            ),
        }
    }

    /// A list.
    #[must_use]
    pub fn list(&self, page: &Page) -> Bytes {
        let mut metadata = json!({ "resourceVersion": text(page.version) });
        if let Some(next) = &page.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let (kind, version) = match self.form {
            Form::Whole => (
                format!("{}List", self.resource.kind),
                self.resource.api_version(),
            ),
            Form::Metadata => ("PartialObjectMetadataList".to_owned(), META.to_owned()),
            Form::Table(_) => {
                let items: Vec<&Item> = page.items.iter().map(AsRef::as_ref).collect();
                return self.table(&metadata, &items, true);
            }
        };
        let size: usize = page.items.iter().map(|item| item.body().len() + 1).sum();
        let mut out = BytesMut::with_capacity(size + 256);
        let _ = write!(
            out,
            r#"{{"kind":{},"apiVersion":{},"metadata":{metadata},"items":["#,
            json!(kind),
            json!(version)
        );
        for (at, item) in page.items.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b",");
            }
            match self.form {
                Form::Whole if !self.resource.items_say_kind => out.extend_from_slice(item.body()),
                Form::Whole => out.extend_from_slice(&whole(self.resource, item)),
                _ => out.extend_from_slice(&partial(item)),
            }
        }
        out.extend_from_slice(b"]}");
        out.freeze()
    }

    /// One event of a watch, with the end of its line. `first` when none was before it: the
    /// first table of a watch names its columns.
    #[must_use]
    pub fn event(&self, event: &Event, first: bool) -> Bytes {
        let (kind, object) = match event {
            Event::Added(item) => ("ADDED", self.event_object(item, first)),
            Event::Modified(item) => ("MODIFIED", self.event_object(item, first)),
            Event::Deleted(item) => ("DELETED", self.event_object(item, first)),
            Event::Bookmark { version, complete } => {
                ("BOOKMARK", self.bookmark(*version, *complete, first))
            }
            Event::Failed(status) => ("ERROR", status.text().into()),
        };
        let mut out = BytesMut::with_capacity(object.len() + 40);
        let _ = write!(out, r#"{{"type":"{kind}","object":"#);
        out.extend_from_slice(&object);
        out.extend_from_slice(b"}\n");
        out.freeze()
    }

    fn event_object(&self, item: &Item, first: bool) -> Bytes {
        match self.form {
            Form::Table(_) => {
                let metadata = json!({ "resourceVersion": text(item.version()) });
                self.table(&metadata, &[item], first)
            }
            _ => self.object(item),
        }
    }

    fn bookmark(&self, version: u64, complete: bool, first: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": text(version) });
        if complete {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (kind, api, blank) = match self.form {
            Form::Whole => (
                &*self.resource.kind,
                self.resource.api_version(),
                self.resource.blank,
            ),
            Form::Metadata => ("PartialObjectMetadata", META.to_owned(), ""),
            Form::Table(_) => {
                let columns = if first {
                    table::head(self.resource)
                } else {
                    Value::Null
                };
                let row = json!({
                    "cells": vec![Value::Null; self.resource.columns.len()],
                    "object": {
                        "kind": "PartialObjectMetadata", "apiVersion": META,
                        "metadata": metadata,
                    },
                });
                let head = json!({ "resourceVersion": text(version) });
                return table(&head, &columns, vec![row]);
            }
        };
        let text = format!(
            r#"{{"kind":{},"apiVersion":{},"metadata":{metadata}{blank}}}"#,
            json!(kind),
            json!(api)
        );
        text.into()
    }

    fn table(&self, metadata: &Value, items: &[&Item], named: bool) -> Bytes {
        let include = match self.form {
            Form::Table(include) => include,
            _ => Include::Metadata,
        };
        let rows = items.iter().map(|item| {
            let mut row = json!({ "cells": table::cells(self.resource, item, self.now) });
            let object = match include {
                Include::Nothing => None,
                Include::Metadata => serde_json::from_slice(&partial(item)).ok(),
                Include::Object => serde_json::from_slice(&whole(self.resource, item)).ok(),
            };
            row["object"] = object.unwrap_or_default();
            row
        });
        let columns = if named {
            table::head(self.resource)
        } else {
            Value::Null
        };
        table(metadata, &columns, rows.collect())
    }
}

fn table(metadata: &Value, columns: &Value, rows: Vec<Value>) -> Bytes {
    let table = json!({
        "kind": "Table",
        "apiVersion": META,
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    });
    table.to_string().into()
}

fn whole(resource: &Resource, item: &Item) -> Bytes {
    let body = item.body();
    let mut out = BytesMut::with_capacity(body.len() + 64);
    let _ = write!(
        out,
        r#"{{"kind":{},"apiVersion":{},"#,
        json!(resource.kind),
        json!(resource.api_version())
    );
    // A body is an object and has metadata, so it is never empty.
    out.extend_from_slice(body.get(1..).unwrap_or_default());
    out.freeze()
}

fn partial(item: &Item) -> Bytes {
    let metadata = item.metadata();
    let text = format!(
        r#"{{"kind":"PartialObjectMetadata","apiVersion":"{META}","metadata":{metadata}}}"#
    );
    text.into()
}

fn text(version: u64) -> String {
    version.to_string()
}

const META: &str = "meta.k8s.io/v1";
