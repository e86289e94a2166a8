//! A user of its own for each test of rights.
#![allow(unsafe_code, reason = "rdkafka does not wrap these calls of librdkafka")]

use std::ffi::{CStr, CString};

use rdkafka::{admin::AdminClient, bindings as sys, client::DefaultClientContext};
use sys::{rd_kafka_AclOperation_t as Operation, rd_kafka_ResourceType_t as Resource};
use uuid::Uuid;

use crate::{
    Login, secure_kafka,
    topic::{SECURE_ADMIN, TIMEOUT},
};

/// How often a password is hashed: the least that Kafka takes.
const ITERATIONS: i32 = 4096;

/// A user of the brokers of [`secure_kafka`] who may do what was granted, and nothing else. What was granted goes with this
/// value unless the test panics. The user stays: where one was made and deleted, Kafka (4.3.1) was seen to have no user at
/// all after its next start.
#[derive(Debug)]
pub struct TestUser {
    /// How it logs in.
    pub login: Login,
}

/// What a user can be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum Right {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    DescribeConfigs,
    AlterConfigs,
}

/// What a right is on, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum On<'a> {
    Topic(&'a str),
    Group(&'a str),
}

impl TestUser {
    /// Lets it do this. Brokers know of it a moment later.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn grant(&self, on: On<'_>, rights: &[Right]) {
        let (kind, name) = match on {
            On::Topic(name) => (Resource::RD_KAFKA_RESOURCE_TOPIC, name),
            On::Group(name) => (Resource::RD_KAFKA_RESOURCE_GROUP, name),
        };
        let (name, principal) = (c_string(name), self.principal());
        let operations: Vec<_> = rights.iter().map(|right| right.operation()).collect();
        asked(move || {
            for operation in operations {
                grant(kind, &name, &principal, operation)?;
            }
            Ok(())
        })
        .await
        .expect("the broker grants rights");
    }

    fn principal(&self) -> CString {
        c_string(&format!("User:{}", self.login.username))
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        let principal = self.principal();
        let what = format!("the rights of {} on {}", self.login.username, self.login.bootstrap_servers);
        crate::clean_up(&what, asked(move || take_back(&principal)));
    }
}

/// Makes a user who may do nothing.
///
/// # Panics
/// When a variable is missing or the broker does not make it.
pub async fn secure_user() -> TestUser {
    let login = Login {
        username: format!("fluxo-test-{}", Uuid::new_v4().simple()),
        password: Uuid::new_v4().to_string(),
        ..secure_kafka()
    };
    let (name, password) = (c_string(&login.username), login.password.clone());
    asked(move || make(&name, &password)).await.expect("the broker makes a user");
    TestUser { login }
}

impl Right {
    const fn operation(self) -> Operation {
        match self {
            Self::Read => Operation::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => Operation::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::Create => Operation::RD_KAFKA_ACL_OPERATION_CREATE,
            Self::Delete => Operation::RD_KAFKA_ACL_OPERATION_DELETE,
            Self::Alter => Operation::RD_KAFKA_ACL_OPERATION_ALTER,
            Self::Describe => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::DescribeConfigs => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            Self::AlterConfigs => Operation::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
        }
    }
}

/// Asks on a thread that may block.
async fn asked(question: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(question).await?
}

fn make(name: &CStr, password: &str) -> anyhow::Result<()> {
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS;
    // SAFETY: name and password are copied by the alteration, which is copied by the call and destroyed after it. No salt
    // is given, so that librdkafka takes one. What is read lies in the event.
    unsafe {
        let alteration = sys::rd_kafka_UserScramCredentialUpsertion_new(
            name.as_ptr(),
            sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
            ITERATIONS,
            password.as_ptr(),
            password.len(),
            std::ptr::null(),
            0,
        );
        let mut alterations = [alteration];
        let answer = ask(operation, |client, options, queue| {
            sys::rd_kafka_AlterUserScramCredentials(client, alterations.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_UserScramCredentialAlteration_destroy(alteration);
        let (answer, mut count) = (answer?, 0);
        let result = sys::rd_kafka_event_AlterUserScramCredentials_result(answer.event);
        let responses = sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &raw mut count);
        outcome(responses, count, sys::rd_kafka_AlterUserScramCredentials_result_response_error)
    }
}

fn grant(kind: Resource, name: &CStr, principal: &CStr, operation: Operation) -> anyhow::Result<()> {
    let (literal, allow) = (
        sys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
        sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
    );
    let mut reason = [0; 128];
    // SAFETY: names are copied by the binding, which is copied by the call and destroyed after it. What is read lies in
    // the event.
    unsafe {
        let binding = sys::rd_kafka_AclBinding_new(
            kind,
            name.as_ptr(),
            literal,
            principal.as_ptr(),
            c"*".as_ptr(),
            operation,
            allow,
            reason.as_mut_ptr(),
            reason.len(),
        );
        anyhow::ensure!(!binding.is_null(), "{}", CStr::from_ptr(reason.as_ptr()).to_string_lossy());
        let mut bindings = [binding];
        let answer = ask(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEACLS, |client, options, queue| {
            sys::rd_kafka_CreateAcls(client, bindings.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_AclBinding_destroy(binding);
        let (answer, mut count) = (answer?, 0);
        let result = sys::rd_kafka_event_CreateAcls_result(answer.event);
        let results = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
        outcome(results, count, sys::rd_kafka_acl_result_error)
    }
}

/// Takes back all that was granted.
fn take_back(principal: &CStr) -> anyhow::Result<()> {
    let mut reason = [0; 128];
    // SAFETY: as above.
    unsafe {
        let filter = sys::rd_kafka_AclBindingFilter_new(
            Resource::RD_KAFKA_RESOURCE_ANY,
            std::ptr::null(),
            sys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
            principal.as_ptr(),
            std::ptr::null(),
            Operation::RD_KAFKA_ACL_OPERATION_ANY,
            sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            reason.as_mut_ptr(),
            reason.len(),
        );
        anyhow::ensure!(!filter.is_null(), "{}", CStr::from_ptr(reason.as_ptr()).to_string_lossy());
        let mut filters = [filter];
        let answer = ask(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEACLS, |client, options, queue| {
            sys::rd_kafka_DeleteAcls(client, filters.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_AclBinding_destroy(filter);
        let (answer, mut count) = (answer?, 0);
        let result = sys::rd_kafka_event_DeleteAcls_result(answer.event);
        let responses = sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
        outcome(responses, count, sys::rd_kafka_DeleteAcls_result_response_error)
    }
}

/// What the broker answers. What is read from it lies in it.
struct Answer {
    event: *mut sys::rd_kafka_event_t,
    queue: *mut sys::rd_kafka_queue_t,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: nobody else has them, and the queue outlives what came out of it.
        unsafe {
            sys::rd_kafka_event_destroy(self.event);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Asks the brokers as their administrator, and waits for the answer. Blocks.
///
/// # Safety
/// `request` makes the one call that belongs to `operation`, and keeps nothing that it is given.
unsafe fn ask(
    operation: sys::rd_kafka_admin_op_t,
    request: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> anyhow::Result<Answer> {
    let admin: &AdminClient<DefaultClientContext> = &SECURE_ADMIN;
    let client = admin.inner().native_ptr();
    // SAFETY: the client lives as long as the process. Options and queue are destroyed after their last use.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client, operation);
        let queue = sys::rd_kafka_queue_new(client);
        request(client, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, i32::try_from(TIMEOUT.as_millis())?);
        sys::rd_kafka_AdminOptions_destroy(options);
        let answer = Answer { event, queue };
        anyhow::ensure!(!event.is_null(), "no answer within {TIMEOUT:?}");
        let error = sys::rd_kafka_event_error_string(event);
        let code = sys::rd_kafka_event_error(event);
        anyhow::ensure!(
            code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            "{}",
            CStr::from_ptr(error).to_string_lossy()
        );
        Ok(answer)
    }
}

/// The first failure of what was asked for, if any of it failed.
///
/// # Safety
/// There are so many results, which are alive, and `error_of` is what tells the failure of one.
unsafe fn outcome<T>(
    results: *mut *const T,
    count: usize,
    error_of: unsafe extern "C" fn(*const T) -> *const sys::rd_kafka_error_t,
) -> anyhow::Result<()> {
    for index in 0..count {
        // SAFETY: as the caller says; of no error the code is that of none.
        unsafe {
            let error = error_of(*results.add(index));
            anyhow::ensure!(
                sys::rd_kafka_error_code(error) == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                "the broker refuses: {}",
                CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy()
            );
        }
    }
    Ok(())
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("names and passwords of tests have no NUL byte")
}
