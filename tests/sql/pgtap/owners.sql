-- What users see and can do: their own workflows, and nothing else.
begin;
select plan(17);

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

insert into outlast.operation_outputs (workflow_id, step_id, name, output, attempts, completion_order)
values ('f:ada:k', '1', 'publish progress', '1', 0, 1), ('f:ada:k', '2', 'secret_step', '"secret"', 1, 2),
       ('f:bob:k', '1', 'publish progress', '2', 0, 1);

select pg_temp.become('authenticated', '{"sub": "ada", "role": "authenticated"}');
select results_eq('select workflow_id from outlast.workflows', array['f:ada:k'], 'one sees one''s own');
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
reset role;

select * from finish();
rollback;
