//! fusebox-state
