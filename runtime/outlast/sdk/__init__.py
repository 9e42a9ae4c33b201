"""What a function's author imports: decorators, context and client types."""
