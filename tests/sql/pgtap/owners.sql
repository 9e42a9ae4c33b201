-- What users see and can do: their own workflows, and nothing else.
begin;
select plan(34);

create function pg_temp.become(role_name text, claims text) returns void language plpgsql as $$
begin
  perform set_config('request.jwt.claims', claims, true);
  execute format('set local role %I', role_name);
end
$$;

select set_config('request.jwt.claims', '{"sub": "ada", "role": "authenticated"}', true);
select is(outlast.start('f', '{}', 'k'), 'f:ada:k', 'who calls is in the id');
select set_config('request.jwt.claims', '{"sub": "bob", "role": "authenticated"}', true);
select is(outlast.start('f', '{}', 'k'), 'f:bob:k', 'the same key of another is another workflow');
select set_config('request.jwt.claims', '', true);
select is(outlast.start('f', '{}', 'k'), 'f:k', 'the service has its own');

insert into outlast.operation_outputs (workflow_id, step_id, name, kind, output, attempts, completion_order)
values ('f:ada:k', '1', 'publish progress', 'publish', '1', 0, 1),
       ('f:ada:k', '2', 'secret_step', 'step', '"secret"', 1, 2),
       ('f:bob:k', '1', 'publish progress', 'publish', '2', 0, 1);

select pg_temp.become('authenticated', '{"sub": "ada", "role": "authenticated"}');
select results_eq('select workflow_id from outlast.workflows', array['f:ada:k'], 'one sees one''s own');
select results_eq(
  'select workflow_id, generation, waiting_on is not null from outlast.workflow_summaries',
  $$ values ('f:ada:k', 1, true) $$, 'and what lists tell of it');
select results_eq('select workflow_id, value::text from outlast.events', $$ values ('f:ada:k', '1') $$, 'and its events');
select is_empty($$ select workflow_id from outlast.workflows where workflow_id = 'f:bob:k' $$, 'by no id another''s');
select is_empty($$ select output::text from outlast.operation_outputs where name = 'secret_step' $$, 'no step''s result');
select throws_ok('select claims from outlast.workflow_status', '42501', null, 'no claims, one''s own neither');
select throws_ok('select * from outlast.messages', '42501', null, 'no messages');
select throws_ok('select * from outlast.instances', '42501', null, 'no instances');
select throws_ok($$ update outlast.workflows set status = 'SUCCESS' $$, '42501', null, 'nothing is to be changed');
select throws_ok($$ delete from outlast.workflow_status $$, '42501', null, 'or deleted');
select throws_ok($$ select outlast.start('f') $$, '42501', null, 'nor started, unless it is granted');
select throws_ok($$ select outlast.start_own('f', '{}', 'k', null) $$, '42501', null, 'in no way');
select throws_ok($$ select outlast.send('f:ada:k', '1') $$, '42501', null, 'nor sent');
reset role;

select pg_temp.become('authenticated', '{"role": "authenticated"}');
select is_empty('select workflow_id from outlast.workflows', 'without a subject one sees nothing');
reset role;

select pg_temp.become('anon', '{"role": "anon"}');
select throws_ok('select * from outlast.workflows', '42501', null, 'the anonymous see nothing at all');
select throws_ok('select * from outlast.workflow_summaries', '42501', null, 'in no list either');
reset role;

-- What a workflow of hers has started is hers to see, but not what went in and came out.
insert into outlast.workflow_status (workflow_id, function, status, input, output, error, parent, subject)
values ('f:ada:k/1', 'f', 'SUCCESS', '"secret"', '"secret"', null, 'f:ada:k', 'ada'),
       ('f:ada:k/2', 'f', 'ERROR', '"secret"', null, '{"code": "c", "message": "m"}', 'f:ada:k', 'ada');
select pg_temp.become('authenticated', '{"sub": "ada", "role": "authenticated"}');
select results_eq(
  $$ select workflow_id, input::text, output::text from outlast.workflows order by 1 $$,
  $$ values ('f:ada:k', '{}', null), ('f:ada:k/1', null, null), ('f:ada:k/2', null, null) $$,
  'of children no input and no output');
select throws_ok('select input from outlast.workflow_status', '42501', null, 'nor past the view');
select is(outlast.public_input('f:bob:k')::text, null, 'no input of another''s');
select is(outlast.public_output('f:ada:k/1')::text, null, 'no output of a child by its id');
reset role;
select pg_temp.become('service_role', '{"role": "service_role"}');
select results_eq(
  $$ select input::text, output::text from outlast.workflows where workflow_id = 'f:ada:k/1' $$,
  $$ values ('"secret"', '"secret"') $$, 'the service sees all');
reset role;

-- Whoever logs in with a role of their own is who they are, whatever they set.
create role reporter login;
create role gateway login noinherit;
grant authenticated, anon to gateway;
grant usage on schema outlast, extensions to reporter;
grant usage on schema extensions to gateway;
grant execute on function
  outlast.start(text, text, text, text, integer, interval, jsonb), outlast.start_own,
  outlast.cancel(text), outlast.cancel_own(text), outlast.public_error(text), outlast.public_input(text)
to reporter, authenticated;
set local session authorization reporter;
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select throws_ok($$ select outlast.start('f') $$, '42501', null, 'a setting makes nobody the service');
select throws_ok($$ select outlast.start_own('f', '{}', null, null) $$, '42501', null, 'in no way');
select set_config('request.jwt.claims', '{"sub": "ada", "role": "authenticated"}', true);
select throws_ok($$ select outlast.start('f', '{}', 'k') $$, '42501', null, 'nor a user');
select throws_ok($$ select outlast.cancel('f:ada:k') $$, '42501', null, 'who might cancel');
select throws_ok($$ select outlast.public_input('f:ada:k') $$, '42501', null, 'or read');
select throws_ok($$ select outlast.public_error('f:ada:k/2') $$, '42501', null, 'errors neither');
select set_config('request.jwt.claims', '{"sub": "ada"}', true);
select throws_ok($$ select outlast.cancel('f:ada:k') $$, '42501', null, 'nor a user without a role');
select set_config('request.jwt.claims', '', true);
select lives_ok($$ select outlast.start('f', '{}', 'a0a0a0a0-0000-4000-8000-000000000000') $$, 'without claims it is anybody');
reset session authorization;
set local session authorization gateway;
select pg_temp.become('authenticated', '{"sub": "ada", "role": "authenticated"}');
select is(outlast.start('f', '{}', 'k'), 'f:ada:k', 'who may become a user speaks for users, as the Data API does');
select set_config('request.jwt.claims', '{"role": "service_role"}', true);
select throws_ok($$ select outlast.start('f') $$, '42501', null, 'and a user is not the service');
reset role;
reset session authorization;

select * from finish();
rollback;
