"""Tell the application what became of an upload: outbox, webhooks, EventBridge, and signed receipts."""
