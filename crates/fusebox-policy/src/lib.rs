//! fusebox-policy
