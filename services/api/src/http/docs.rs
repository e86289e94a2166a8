//! `GET /openapi.json` and `/docs`: what the calls are, generated from their code.

use axum::Router;
use utoipa::{
    OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

/// What does not belong to one call.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fluxo",
        description = "Takes in financial transactions (entrada: money in, saída: money out), and keeps each exactly once.\n\n\
            Money is a decimal in a string, never a JSON number. Errors are RFC 9457 problems: `type` is stable, \
            `errors` names each field by its JSON pointer, and `retryable` says whether the same request may succeed \
            later without a change.",
    ),
    tags(
        (name = "transactions", description = "Submit them, and ask what became of them"),
        (name = "accounts", description = "Lists, balances and statements of an account"),
    ),
)]
struct Document;

/// The document without the calls.
pub(super) fn base() -> openapi::OpenApi {
    let mut document = Document::openapi();
    document.info.license = None;
    document.info.contact = None;
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of the key file. A call names the scope that the key must have."))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(key));
    super::stream::schemas(&mut document);
    document
}

/// The whole document.
pub(crate) fn json() -> String {
    let mut text = super::routes().to_openapi().to_pretty_json().expect("it has only strings and numbers");
    text.push('\n');
    text
}

/// Serves the document, and a page that shows it without loading anything from elsewhere.
pub(super) fn router<S: Clone + Send + Sync + 'static>(document: openapi::OpenApi) -> Router<S> {
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_openapi_document_is_the_one_that_was_kept() {
        fluxo_golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json"), &super::json());
    }
}
