-- The widget store of functions/checkout.py and functions/report.py: its tables, its first stock, and what was delivered.

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

create table if not exists public.deliveries (
  id bigint primary key,
  sku text not null references public.widgets,
  quantity integer not null check (quantity > 0),
  shelved_at timestamptz
);

alter table public.widgets enable row level security;
alter table public.shipments enable row level security;
alter table public.deliveries enable row level security;

insert into public.widgets (sku, stock) values ('widget', 3) on conflict do nothing;
insert into public.deliveries (id, sku, quantity) select n, 'widget', 1 from generate_series(1, 50) n on conflict do nothing;
