"""Recurrent cells on sequential MNIST."""
