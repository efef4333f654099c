//! The table of metrics against what a page shows.

use fusebox::metrics::prometheus::Exporter;
use fusebox_testkit::virtual_time;

use crate::page::Peaks;
use crate::scene::{LOOK, play};

/// A fork needs two owners of one run; the store's own tests make some, and `StoreMetrics` only reads the number.
const NOT_IN_THE_SCENE: [&str; 1] = ["fusebox_store_forks"];

/// Everything that was ever on the page while the scene was played.
fn watched(seed: u64) -> Peaks {
    virtual_time(seed, async |_| {
        let exporter = Exporter::new();
        let mut peaks = Peaks::default();
        let watch = async {
            loop {
                peaks.add(&exporter.render());
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = play(&exporter) => {}
            () = watch => {}
        }
        peaks
    })
}

#[test]
fn every_row_of_the_table_is_recorded_by_an_outage_and_nothing_else_is() {
    assert_eq!(watched(7).silent(), NOT_IN_THE_SCENE);
}

#[test]
fn a_page_that_nobody_reports_to_has_no_row() {
    let exporter = Exporter::new();
    let mut peaks = Peaks::default();
    virtual_time(7, async |_| play(&Exporter::new()).await);
    peaks.add(&exporter.render());
    assert_eq!(peaks.silent().len(), fusebox::metrics::METRICS.len());
}
