//! Objects as rows of a table, as `kubectl get` shows them.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{column::Column, item::Item, resource::Resource};

/// The columns of a type as a table names them.
#[must_use]
pub fn head(resource: &Resource) -> Value {
    let column = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    };
    resource.columns.iter().map(column).collect()
}

/// The cells of an object's row.
#[must_use]
pub fn cells(resource: &Resource, item: &Item, now: SystemTime) -> Vec<Value> {
    let object = item.object();
    let columns = resource.columns.iter();
    columns
        .map(|column| column.cell.of(&object, &column.kind, now))
        .collect()
}
