//! fusebox-testkit
