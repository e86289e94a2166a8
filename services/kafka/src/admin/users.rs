//! Users and their rights.

use std::ptr;

use rdkafka::ClientContext;
use sys::{
    rd_kafka_AclOperation_t as AclOperation, rd_kafka_AclPermissionType_t as Permission,
    rd_kafka_ResourcePatternType_t as Pattern, rd_kafka_ResourceType_t as Resource,
};

use super::{Admin, Error, Operation, Owned, Reason, c_string, elements, outcome_of, sys};

/// How often a password is hashed: the least that Kafka takes.
const ITERATIONS: i32 = 4096;

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

impl<C: ClientContext> Admin<'_, C> {
    /// Makes a user who logs in by SCRAM-SHA-512, or gives one another password.
    ///
    /// # Errors
    /// When Kafka does not.
    pub fn upsert_user(&self, user: &str, password: &str) -> Result<(), Error> {
        let name = c_string(user)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS;
        // SAFETY: name and password are copied by the alteration, and that by the call. No salt is given, so that
        // librdkafka takes one. What is read lies in the answer.
        unsafe {
            let upsertion = sys::rd_kafka_UserScramCredentialUpsertion_new(
                name.as_ptr(),
                sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
                ITERATIONS,
                password.as_ptr(),
                password.len(),
                ptr::null(),
                0,
            );
            let destroy = sys::rd_kafka_UserScramCredentialAlteration_destroy;
            let upsertion = Owned::new(upsertion, destroy, "upsertion")?;
            let answer = self.ask(operation, |client, options, queue| {
                let mut alterations = [upsertion.object];
                sys::rd_kafka_AlterUserScramCredentials(client, alterations.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let mut count = 0;
            let result = sys::rd_kafka_event_AlterUserScramCredentials_result(answer.event.object);
            let told = sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &raw mut count);
            let told = *elements(told, count).first().ok_or(Error::NoAnswer("user"))?;
            outcome_of(sys::rd_kafka_AlterUserScramCredentials_result_response_error(told))
        }
    }

    /// Lets a user do this, from anywhere. Brokers know of it a moment later.
    ///
    /// # Errors
    /// When Kafka does not.
    pub fn grant(&self, user: &str, on: On<'_>, right: Right) -> Result<(), Error> {
        let (kind, name) = match on {
            On::Topic(name) => (Resource::RD_KAFKA_RESOURCE_TOPIC, name),
            On::Group(name) => (Resource::RD_KAFKA_RESOURCE_GROUP, name),
        };
        let (name, principal) = (c_string(name)?, c_string(&principal(user))?);
        let mut reason = Reason::default();
        // SAFETY: names are copied by the binding, and the binding by the call. What is read lies in the answer.
        unsafe {
            let binding = sys::rd_kafka_AclBinding_new(
                kind,
                name.as_ptr(),
                Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                principal.as_ptr(),
                c"*".as_ptr(),
                right.operation(),
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                reason.pointer(),
                reason.len(),
            );
            let binding = reason.or_owned(binding, sys::rd_kafka_AclBinding_destroy)?;
            let answer = self.ask(Operation::RD_KAFKA_ADMIN_OP_CREATEACLS, |client, options, queue| {
                let mut bindings = [binding.object];
                sys::rd_kafka_CreateAcls(client, bindings.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let mut count = 0;
            let result = sys::rd_kafka_event_CreateAcls_result(answer.event.object);
            let told = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
            let told = *elements(told, count).first().ok_or(Error::NoAnswer("right"))?;
            outcome_of(sys::rd_kafka_acl_result_error(told))
        }
    }

    /// Takes back all that a user was granted.
    ///
    /// # Errors
    /// When Kafka does not.
    pub fn take_back(&self, user: &str) -> Result<(), Error> {
        let principal = c_string(&principal(user))?;
        let mut reason = Reason::default();
        // SAFETY: the name is copied by the filter, and the filter by the call. What is read lies in the answer.
        unsafe {
            let filter = sys::rd_kafka_AclBindingFilter_new(
                Resource::RD_KAFKA_RESOURCE_ANY,
                ptr::null(),
                Pattern::RD_KAFKA_RESOURCE_PATTERN_ANY,
                principal.as_ptr(),
                ptr::null(),
                AclOperation::RD_KAFKA_ACL_OPERATION_ANY,
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
                reason.pointer(),
                reason.len(),
            );
            let filter = reason.or_owned(filter, sys::rd_kafka_AclBinding_destroy)?;
            let answer = self.ask(Operation::RD_KAFKA_ADMIN_OP_DELETEACLS, |client, options, queue| {
                let mut filters = [filter.object];
                sys::rd_kafka_DeleteAcls(client, filters.as_mut_ptr(), 1, options, queue);
                Ok(())
            })?;
            let mut count = 0;
            let result = sys::rd_kafka_event_DeleteAcls_result(answer.event.object);
            let told = sys::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
            let told = *elements(told, count).first().ok_or(Error::NoAnswer("rights"))?;
            outcome_of(sys::rd_kafka_DeleteAcls_result_response_error(told))
        }
    }
}

impl Right {
    const fn operation(self) -> AclOperation {
        match self {
            Self::Read => AclOperation::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => AclOperation::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::Create => AclOperation::RD_KAFKA_ACL_OPERATION_CREATE,
            Self::Delete => AclOperation::RD_KAFKA_ACL_OPERATION_DELETE,
            Self::Alter => AclOperation::RD_KAFKA_ACL_OPERATION_ALTER,
            Self::Describe => AclOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            Self::DescribeConfigs => AclOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            Self::AlterConfigs => AclOperation::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
        }
    }
}

fn principal(user: &str) -> String {
    format!("User:{user}")
}
