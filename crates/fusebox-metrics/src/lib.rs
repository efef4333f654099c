//! fusebox-metrics
