//! Which member is which cluster: nobody is followed under two names, or every endpoint of
//! it would count twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::state::Uid;
use crate::model::ClusterId;

/// The names under which clusters are followed. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeMap<Uid, ClusterId>>>);

impl Claims {
    /// The first name to claim a cluster has it until it is released.
    ///
    /// # Errors
    /// The name that has it.
    pub(crate) fn claim(&self, uid: &Uid, name: &ClusterId) -> Result<(), ClusterId> {
        let mut claims = self.lock();
        let owner = claims.entry(uid.clone()).or_insert_with(|| name.clone());
        match owner == name {
            true => Ok(()),
            false => Err(owner.clone()),
        }
    }

    /// What `name` has is free.
    pub(crate) fn release(&self, name: &ClusterId) {
        self.lock().retain(|_, owner| owner != name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uid, ClusterId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_one_name_until_that_is_released() {
        let claims = Claims::default();
        let (uid, a, b) = (Uid::from("u"), ClusterId::from("a"), ClusterId::from("b"));
        assert_eq!(claims.claim(&uid, &a), Ok(()));
        assert_eq!(claims.claim(&uid, &a), Ok(()));
        assert_eq!(claims.claim(&uid, &b), Err(a.clone()));
        assert_eq!(claims.claim(&Uid::from("v"), &b), Ok(()));
        claims.release(&a);
        assert_eq!(claims.clone().claim(&uid, &b), Ok(()));
    }
}
