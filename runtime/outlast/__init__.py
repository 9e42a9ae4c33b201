"""Durable Python functions next to Supabase."""
