//! One object: applied if it is not as it was applied last, and left alone if it is another's.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
};
use serde_json::{Value, json};

use super::{Applier, Error, FIELD_MANAGER, Named, Object, Problem, children::Seen, named};
use crate::identity::Identity;

/// How each object was after it was last applied, and when it was last seen. While neither what is wanted nor what is
/// there differs from what was applied, there is nothing to write. It is lost with the process: then each is applied once
/// more, which changes nothing. By the uid of the pipeline, and of the object. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<HashMap<String, HashMap<String, Entry>>>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    applied: Option<AppliedAs>,
    /// As a watch told it, of which a part is kept.
    seen: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AppliedAs {
    wanted: u64,
    there: State,
    generation: Option<i64>,
}

/// How a whole object was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    digest: u64,
    /// Versions of one kind grow; one from before a write tells nothing of it.
    version: u64,
}

impl Applier {
    /// What there is under an object's name.
    pub(in crate::controller) async fn there<K: Object>(
        &self,
        seen: &Seen<K>,
        wanted: &K,
    ) -> Result<Option<Arc<K>>, Error> {
        let what = named(wanted);
        if let Some(seen) = seen.get(&what.namespace, &what.name) {
            return Ok(Some(seen));
        }
        // What is not labelled as ours is not watched, and may be there.
        self.asked(wanted).await
    }

    /// What the API server has under an object's name.
    pub(super) async fn asked<K: Object>(&self, wanted: &K) -> Result<Option<Arc<K>>, Error> {
        let what = named(wanted);
        let found = Api::<K>::namespaced(self.client.clone(), &what.namespace).get_opt(&what.name).await;
        Ok(found.map_err(|error| Error::new("reading", what, error))?.map(Arc::new))
    }

    /// Makes an object be as it is wanted, or says why it cannot be. `there` is what there is under its name.
    pub(in crate::controller) async fn ensure<K: Object>(
        &self,
        there: Option<Arc<K>>,
        wanted: &K,
        owner: &Identity,
        is_ours: impl Fn(&K) -> bool,
    ) -> Result<Result<K, Problem>, Error> {
        let what = named(wanted);
        let api = Api::<K>::namespaced(self.client.clone(), &what.namespace);
        let mut body = serde_json::to_value(wanted).expect("an object is JSON");
        let digest_of_wanted = digest(&body);
        if let Some(there) = &there {
            if !is_ours(there) {
                return Ok(Err(Problem::Foreign(what)));
            }
            let is_going = there.meta().deletion_timestamp.is_some();
            if is_going || self.ledger.is_in_sync(owner, &**there, digest_of_wanted) {
                return Ok(Ok(self.ledger.of_generation(owner, (**there).clone())));
            }
            // Never another one that took its name meanwhile.
            body["metadata"]["uid"] = there.uid().into();
        }
        let applied = match apply(&api, &what, &body).await {
            Err(refused) if code(&refused) == Some(422) => match &there {
                Some(there) => {
                    self.ledger.forget(owner, &**there);
                    Box::pin(self.mend(&api, &what, body, refused)).await
                }
                None => Err(refused),
            },
            applied => applied,
        };
        match applied {
            Ok(applied) => {
                self.metrics.wrote(&what.kind);
                self.ledger.note(owner, &applied, digest_of_wanted);
                Ok(Ok(applied))
            }
            Err(kube::Error::Api(status)) if is_a_refusal(status.code) => {
                Ok(Err(Problem::Refused { what, why: status.message.clone() }))
            }
            Err(error) => Err(Error::new("applying", what, error)),
        }
    }

    /// Applies what was refused beside what others wrote into it.
    async fn mend<K: Object>(
        &self,
        api: &Api<K>,
        what: &Named,
        body: Value,
        refused: kube::Error,
    ) -> kube::Result<K> {
        match replace(api, what, body.clone()).await {
            Ok(_) => {
                self.metrics.wrote(&what.kind);
                tracing::info!(object = %what, "replaced what others wrote beside what is wanted");
                apply(api, what, &body).await
            }
            // What is wanted is what it refuses. Nothing was changed.
            Err(error) if code(&error).is_some_and(is_a_refusal) => Err(refused),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object, with what it owns; if it is gone already, all the better.
    pub(in crate::controller) async fn delete<K: Object>(&self, object: &K) -> Result<(), Error> {
        let what = named(object);
        let this_one = Preconditions { uid: object.uid(), resource_version: None };
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(this_one),
            ..DeleteParams::default()
        };
        if object.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        let api = Api::<K>::namespaced(self.client.clone(), &what.namespace);
        match api.delete(&what.name, &parameters).await {
            Ok(_) => {
                self.metrics.wrote(&what.kind);
                tracing::info!(object = %what, "deleted");
                Ok(())
            }
            // Gone, or another one by now.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(error) => Err(Error::new("deleting", what, error)),
        }
    }
}

async fn apply<K: Object>(api: &Api<K>, what: &Named, body: &Value) -> kube::Result<K> {
    let by = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(&what.name, &by, &Patch::Apply(body)).await?;
    Box::pin(disown_updates(api, what, applied)).await
}

/// What must not be beside what is wanted and is in no list: where, and its name.
const CONTRADICTIONS: [(&str, &str); 2] =
    [("/spec", "minAvailable"), ("/spec/template/spec/securityContext/seccompProfile", "localhostProfile")];

/// Writes an object with each list as a whole, and without what contradicts it. Apply leaves what others put there: with
/// its port changed by somebody, a Service would get two of one name, which the API server refuses.
async fn replace<K: Object>(api: &Api<K>, what: &Named, mut body: Value) -> kube::Result<K> {
    for (place, name) in CONTRADICTIONS {
        if let Some(Value::Object(fields)) = body.pointer_mut(place) {
            fields.insert(name.to_owned(), Value::Null);
        }
    }
    let by = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    api.patch(&what.name, &by, &Patch::Merge(&body)).await
}

/// Owns nothing by [`replace`], but by apply only: else what is not wanted any more would stay.
async fn disown_updates<K: Object>(api: &Api<K>, what: &Named, applied: K) -> kube::Result<K> {
    let is_ours = |fields: &ManagedFieldsEntry| {
        fields.manager.as_deref() == Some(FIELD_MANAGER)
            && fields.operation.as_deref() == Some("Update")
            && fields.subresource.is_none()
    };
    let all = applied.managed_fields();
    if !all.iter().any(is_ours) {
        return Ok(applied);
    }
    let others: Vec<_> = all.iter().filter(|fields| !is_ours(fields)).collect();
    let metadata = json!({"managedFields": others, "resourceVersion": applied.resource_version()});
    let patch = Patch::Merge(json!({"metadata": metadata}));
    api.patch(&what.name, &PatchParams::default(), &patch).await
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

impl Ledger {
    fn entry<K: Object>(&self, owner: &Identity, there: &K) -> Option<Entry> {
        self.lock().get(&owner.uid)?.get(there.meta().uid.as_ref()?).copied()
    }

    fn change(&self, owner: &str, object: String, change: impl FnOnce(&mut Entry)) {
        change(self.lock().entry(owner.to_owned()).or_default().entry(object).or_default());
    }

    /// Notes what a watch told, whole. Whether it did, so that a part of it is enough from then on: not of an object that
    /// no pipeline owns.
    pub fn saw<K: Object>(&self, object: &K) -> bool {
        let (Some(owner), Some(uid)) = (owner(object), object.uid()) else { return false };
        let seen = State::of(object);
        self.change(owner, uid, |entry| entry.seen = Some(seen));
        true
    }

    /// Forgets how an object was after it was last applied: it is applied once more, whatever it looks like.
    fn forget<K: Object>(&self, owner: &Identity, there: &K) {
        if let Some(uid) = there.uid() {
            self.change(&owner.uid, uid, |entry| entry.applied = None);
        }
    }

    /// Forgets an object that is gone.
    pub fn gone<K: Object>(&self, object: &K) {
        if let (Some(owner), Some(uid)) = (owner(object), object.uid())
            && let Some(objects) = self.lock().get_mut(owner)
        {
            objects.remove(&uid);
        }
    }

    /// What was seen, of the generation that was written last: the watch may be behind, and a status from before that
    /// write says nothing of it.
    fn of_generation<K: Object>(&self, owner: &Identity, mut there: K) -> K {
        let written = self.entry(owner, &there).and_then(|entry| entry.applied?.generation);
        let seen = &mut there.meta_mut().generation;
        *seen = written.max(*seen);
        there
    }

    fn is_in_sync<K: Object>(&self, owner: &Identity, there: &K, wanted: u64) -> bool {
        let Some(Entry { applied: Some(applied), seen }) = self.entry(owner, there) else { return false };
        let version = version(there);
        // What has not been told by a watch is whole.
        let seen = seen.filter(|seen| seen.version >= version);
        let is_as_applied = || seen.unwrap_or_else(|| State::of(there)).digest == applied.there.digest;
        // Of the same version it is what was applied.
        let is_no_newer = version <= applied.there.version && version != UNKNOWN;
        applied.wanted == wanted && (is_no_newer || is_as_applied())
    }

    fn note<K: Object>(&self, owner: &Identity, applied: &K, wanted: u64) {
        if let Some(uid) = applied.uid() {
            let generation = applied.meta().generation;
            let applied = AppliedAs { wanted, there: State::of(applied), generation };
            self.change(&owner.uid, uid, |entry| entry.applied = Some(applied));
        }
    }

    /// Keeps only what it knows of these pipelines, by uid.
    pub(in crate::controller) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|owner, _| is_there(owner));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the owner is this pipeline, and no other of its name.
pub(in crate::controller) fn is_owned_by<K: Object>(object: &K, uid: &str) -> bool {
    owner(object).is_some_and(|owner| owner == uid)
}

/// The uid of the owner that an object goes with.
fn owner<K: Object>(object: &K) -> Option<&str> {
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    owner.map(|owner| owner.uid.as_str())
}

/// Trying again as it is cannot help: it is invalid, or not permitted.
fn is_a_refusal(code: u16) -> bool {
    [400, 403, 404, 422].contains(&code)
}

/// A version that is no number.
const UNKNOWN: u64 = u64::MAX;

/// The version of an object that the API server told.
pub(in crate::controller) fn version<K: Object>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(UNKNOWN)
}

impl State {
    /// That of an object. The digest is of all that somebody may have changed: not of its status, nor of what the API
    /// server writes down beside, nor of who else waits for its end.
    fn of<K: Object>(object: &K) -> Self {
        let mut value = serde_json::to_value(object).expect("an object is JSON");
        if let Value::Object(fields) = &mut value {
            fields.remove("status");
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                for field in ["finalizers", "managedFields", "resourceVersion", "generation"] {
                    metadata.remove(field);
                }
            }
        }
        Self { digest: digest(&value), version: version(object) }
    }
}

fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::apply::{Child as _, is_rolled_out};
    use k8s_openapi::api::apps::v1::Deployment;

    fn deployment(version: u32, generation: i64, replicas: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"uid": "uid", "resourceVersion": version.to_string(), "generation": generation},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
            "status": {"observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas},
        }))
        .unwrap()
    }

    #[test]
    fn a_status_from_before_the_last_write_is_none_of_what_was_written() {
        let (ledger, wanted) = (Ledger::default(), 1);
        let owner = Identity { namespace: "a".into(), name: "b".into(), uid: "owner".into() };
        ledger.note(&owner, &deployment(20, 2, 2), wanted);
        // The watch has not told of the write yet: it is not made again, and nothing is rolled out.
        let behind = deployment(10, 1, 1);
        assert!(is_rolled_out(&behind));
        assert!(ledger.is_in_sync(&owner, &behind, wanted));
        let told = ledger.of_generation(&owner, behind);
        assert!(!is_rolled_out(&told));
        assert!(is_rolled_out(&ledger.of_generation(&owner, deployment(20, 2, 2))));
        // Somebody else's change is seen, and is undone.
        assert!(!ledger.is_in_sync(&owner, &deployment(30, 3, 5), wanted));
    }

    #[test]
    fn of_what_a_watch_has_told_a_part_is_enough() {
        let (ledger, wanted) = (Ledger::default(), 1);
        let identity = Identity { namespace: "a".into(), name: "b".into(), uid: "owner".into() };
        // A field of which nothing is kept.
        let whole = |version: u32, min_ready_seconds: i32| {
            let mut whole = deployment(version, 2, 2);
            whole.metadata.owner_references = Some(vec![identity.owner_reference()]);
            whole.spec.as_mut().unwrap().min_ready_seconds = Some(min_ready_seconds);
            whole
        };
        let told = |version: u32, min_ready_seconds: i32| {
            let mut told = whole(version, min_ready_seconds);
            assert!(ledger.saw(&told));
            told.keep_what_is_read();
            told
        };
        ledger.note(&identity, &whole(20, 5), wanted);
        assert!(ledger.is_in_sync(&identity, &told(20, 5), wanted));
        assert!(!ledger.is_in_sync(&identity, &told(30, 0), wanted));
        let mended = told(40, 5);
        assert!(ledger.is_in_sync(&identity, &mended, wanted));
        assert!(!ledger.saw(&deployment(20, 2, 2)), "nobody owns it");
        ledger.gone(&mended);
        assert!(!ledger.is_in_sync(&identity, &whole(20, 5), wanted));
    }
}
