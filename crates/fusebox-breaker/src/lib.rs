//! fusebox-breaker
