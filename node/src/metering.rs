//! Metrics for Prometheus: what is counted on the way, and what stands when asked.

use std::sync::OnceLock;

use kho_messages::Reportable as _;
use kho_storage::error::StorageError;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{
    api::{Role, Severity},
    health,
    node::Node,
};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting. To be called once, before the node starts.
pub fn install() {
    if let Ok(handle) = PrometheusBuilder::new().install_recorder() {
        // Only one recorder can be installed, so this is the first.
        let _ = HANDLE.set(handle);
    }
}

/// Everything counted, with the present state, in Prometheus' text form.
///
/// # Errors
/// A fault of the local disk.
pub fn render(node: &Node) -> Result<String, StorageError> {
    let report = health::report(node)?;
    metrics::gauge!("kho_healthy").set(if report.health.is_healthy() { 1.0 } else { 0.0 });
    metrics::gauge!("kho_raft_applied").set(report.consensus.applied as f64);
    metrics::gauge!("kho_raft_term").set(report.consensus.term as f64);
    metrics::gauge!("kho_raft_leads").set(if report.consensus.role == Role::Leader { 1.0 } else { 0.0 });
    let unreachable = report.consensus.nodes.iter().filter(|member| member.silent_seconds.is_some()).count();
    metrics::gauge!("kho_members_unreachable").set(unreachable as f64);
    metrics::gauge!("kho_register_version").set(report.register_version as f64);
    metrics::gauge!("kho_alarms").set(report.alarms.len() as f64);
    for severity in [Severity::Critical, Severity::Warning, Severity::Notice] {
        let standing = report.findings.iter().filter(|finding| finding.severity() == severity).count();
        metrics::gauge!("kho_findings", "severity" => severity.code()).set(standing as f64);
    }
    metrics::gauge!("kho_disk_free_bytes").set(report.disk.free_bytes as f64);
    metrics::gauge!("kho_children_connected").set(report.children.iter().filter(|child| child.connected).count() as f64);
    for stream in &report.streams {
        let origin = stream.origin.to_string();
        metrics::gauge!("kho_stream_seq", "origin" => origin.clone()).set(stream.seq as f64);
        metrics::gauge!("kho_stream_rows", "origin" => origin.clone()).set(stream.rows as f64);
        metrics::gauge!("kho_stream_watermark_age_seconds", "origin" => origin.clone()).set(stream.watermark_age_seconds as f64);
        metrics::gauge!("kho_stream_lag_batches", "origin" => origin.clone()).set(stream.lag_batches.unwrap_or(0) as f64);
        metrics::gauge!("kho_stream_lag_seconds", "origin" => origin).set(stream.lag_seconds.unwrap_or(0) as f64);
    }
    Ok(HANDLE.get().map(PrometheusHandle::render).unwrap_or_default())
}
