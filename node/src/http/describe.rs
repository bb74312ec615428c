//! The OpenAPI description, made from the handlers themselves.

use axum::Json;
use utoipa::OpenApi;

use crate::api;

#[derive(OpenApi)]
#[openapi(
    info(title = "Kho node", description = "One node of a Kho site: entry, answers, operation. All of it over HTTPS with mutual TLS."),
    paths(
        super::entry::enter_batch,
        super::entry::check_batch,
        super::answers::list,
        super::answers::indicator,
        super::answers::row,
        super::status::status,
        super::status::schema,
        super::status::health,
        super::status::ready,
        super::status::metrics,
        super::proof::proof,
        super::proof::stood_at,
        super::proof::evidence,
        super::set_back::set_backs,
        super::set_back::branch_rows,
        super::proof::resume,
        super::proof::abandon_transfer,
        super::discard::discard,
        super::review::review_evidence,
        super::comparison::begin,
        super::comparison::buckets,
        super::comparison::bucket_rows,
        super::comparison::row_of_hash,
        super::site::register,
        super::site::adopt_register,
        super::site::init,
        super::site::confirm_time,
        super::site::add_node,
        super::site::remove_node,
        super::site::confirm_node,
        super::damage::damage_examined,
        super::upgrade::status,
        super::upgrade::raise,
        super::upgrade::note_test,
        super::bundle::export,
        super::bundle::import,
        openapi
    ),
    components(schemas(api::Problem, api::RowProblem, api::Completeness))
)]
struct Description;

/// The description of everything that a node answers.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(description())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Routes as `http.rs` writes them.
    #[test]
    fn the_description_names_every_route() {
        let source = include_str!("../http.rs");
        let served: BTreeSet<&str> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let description = description();
        let described: BTreeSet<&str> = description.paths.paths.keys().map(String::as_str).collect();
        assert_eq!(described, served);
    }
}
