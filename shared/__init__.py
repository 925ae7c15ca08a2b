"""What every service stands on. One clear purpose a module; nothing here imports a service."""
