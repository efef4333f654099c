//! fusebox-agent
