-- The widget store of functions/checkout.py: its tables and its first stock.

create table if not exists public.widgets (
  sku text primary key,
  stock integer not null check (stock >= 0)
);

create table if not exists public.shipments (
  id bigint generated always as identity primary key,
  sku text not null references public.widgets,
  quantity integer not null,
  payment text not null,
  created_at timestamptz not null default now()
);

alter table public.widgets enable row level security;
alter table public.shipments enable row level security;

insert into public.widgets (sku, stock) values ('widget', 3) on conflict do nothing;
