//! fusebox-orchestrator
