"""What federated training is made of: encoding, clients, clock, server, aggregation, protection."""
