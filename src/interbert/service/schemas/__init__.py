"""What requests and answers look like, as pydantic models; OpenAPI and its examples are made of them."""
