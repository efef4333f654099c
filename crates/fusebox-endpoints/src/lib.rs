//! fusebox-endpoints
