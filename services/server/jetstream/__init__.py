"""What servers without a common folder need of NATS JetStream: decisions and ledgers, and a feed from a stream."""
