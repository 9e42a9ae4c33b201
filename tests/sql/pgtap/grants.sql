-- Who may do what in the schema: nobody but those named here, whatever a later migration adds.
begin;
select plan(18);

select schemas_are(array['outlast', 'auth', 'extensions', 'public']);
select schema_privs_are('outlast', 'anon', array[]::text[]);
select schema_privs_are('outlast', 'authenticated', array['USAGE']);
select schema_privs_are('outlast', 'service_role', array['USAGE']);

select set_eq(
  $$ select c.relname::text, r.rolname::text, p.privilege
     from pg_class c
     cross join unnest(array['anon', 'authenticated', 'service_role']) as r (rolname)
     cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as p (privilege)
     where c.relnamespace = 'outlast'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
       and has_table_privilege(r.rolname, c.oid, p.privilege) $$,
  $$ values ('workflows', 'authenticated', 'SELECT'), ('workflows', 'service_role', 'SELECT'),
            ('workflow_summaries', 'authenticated', 'SELECT'), ('workflow_summaries', 'service_role', 'SELECT'),
            ('events', 'authenticated', 'SELECT'), ('events', 'service_role', 'SELECT') $$,
  'the views are all that is to be read, and nothing is to be written');

select set_eq(
  $$ select r.rolname::text, a.attrelid::regclass::text, a.attname::text
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     cross join unnest(array['anon', 'authenticated', 'service_role']) as r (rolname)
     where c.relnamespace = 'outlast'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
       and not a.attisdropped and has_column_privilege(r.rolname, c.oid, a.attnum, 'SELECT') $$,
  $$ select r.rolname, seen.*
     from unnest(array['authenticated', 'service_role']) as r (rolname) cross join (
     select 'outlast.workflow_status', unnest(array['workflow_id', 'function', 'status', 'queue',
       'recovery_attempts', 'claimable_at', 'created_at', 'started_at', 'updated_at', 'completed_at',
       'version', 'priority', 'parent', 'forked_from', 'attributes', 'generation', 'deadline'])
     union all
     select 'outlast.operation_outputs', unnest(array['workflow_id', 'name', 'kind', 'output', 'attempts',
       'completion_order', 'completed_at'])) as seen $$,
  'neither claims, subjects, errors, requests nor owners are read by them');
select is_empty(
  $$ select r.rolname, a.attrelid::regclass, a.attname, p.privilege
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     cross join unnest(array['anon', 'authenticated', 'service_role']) as r (rolname)
     cross join unnest(array['INSERT', 'UPDATE', 'REFERENCES']) as p (privilege)
     where c.relnamespace = 'outlast'::regnamespace and a.attnum > 0 and not a.attisdropped
       and has_column_privilege(r.rolname, c.oid, a.attnum, p.privilege) $$,
  'and no single column is written by them');
select is_empty(
  $$ select defaclobjtype, defaclacl from pg_default_acl where defaclnamespace = 'outlast'::regnamespace $$,
  'nothing that comes later is theirs by itself');

select is_empty(
  $$ select c.relname from pg_class c
     where c.relnamespace = 'outlast'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity $$,
  'row-level security is on for every table');
select set_eq(
  $$ select tablename::text, policyname::text, cmd, roles::text from pg_policies where schemaname = 'outlast' $$,
  $$ values ('workflow_status', 'seen_by_their_owner', 'SELECT', '{authenticated}'),
            ('operation_outputs', 'published_to_their_owner', 'SELECT', '{authenticated}') $$,
  'two policies let rows through, to be read');
select is_empty(
  $$ select tablename, policyname from pg_policies
     where schemaname = 'outlast' and coalesce(qual, '') || coalesce(with_check, '') like '%current_setting(%'
       and lower(coalesce(qual, '') || coalesce(with_check, '')) !~ '\( *select current_setting\(' $$,
  'no policy reads a setting for each row (the advisor''s auth_rls_initplan)');
select is_empty(
  $$ select c.relname from pg_class c
     where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'v'
       and not coalesce('security_invoker=true' = any(c.reloptions), false) $$,
  'every view asks with the rights of who asks it');
select is_empty(
  $$ select c.relname from pg_class c
     where c.relnamespace = 'outlast'::regnamespace and c.relkind = 'S'
       and (has_sequence_privilege('anon', c.oid, 'USAGE, SELECT, UPDATE')
         or has_sequence_privilege('authenticated', c.oid, 'USAGE, SELECT, UPDATE')) $$,
  'no sequence is theirs');

select is_empty(
  $$ select p.oid::regprocedure from pg_proc p, lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where p.pronamespace = 'outlast'::regnamespace and a.grantee = 0 $$,
  'PUBLIC may execute nothing');
select set_eq(
  $$ select p.oid::regprocedure::text, r.rolname::text
     from pg_proc p cross join unnest(array['anon', 'authenticated']) as r (rolname)
     where p.pronamespace = 'outlast'::regnamespace and has_function_privilege(r.rolname, p.oid, 'EXECUTE') $$,
  $$ values ('outlast.public_error(text)', 'authenticated'), ('outlast.public_input(text)', 'authenticated'),
            ('outlast.public_output(text)', 'authenticated'), ('outlast.readable(json)', 'authenticated'),
            ('outlast.realtime_topic(text)', 'authenticated'), ('outlast.waiting_on(text)', 'authenticated') $$,
  'users execute nothing but what the views and policies need');
select set_eq(
  $$ select distinct p.proname::text from pg_proc p
     where p.pronamespace = 'outlast'::regnamespace and has_function_privilege('service_role', p.oid, 'EXECUTE') $$,
  array['start', 'start_any', 'send', 'cancel', 'cancel_any', 'public_error', 'public_input', 'public_output',
        'readable', 'realtime_topic', 'set_queue', 'pause_queue', 'resume_queue', 'drain_queue',
        'waiting_on', 'create_schedule', 'schedule', 'delete_schedule', 'unschedule', 'pause_schedule',
        'resume_schedule', 'trigger_schedule', 'backfill_schedule',
        'bulk', 'cancel_workflow', 'delete_workflow', 'find_workflows', 'fork_workflow', 'pause_workflow',
        'resume_workflow', 'retry', 'retry_workflow', 'rewind', 'rewind_workflow', 'set_workflow',
        'settle_workflow'],
  'the service starts, sends, cancels, and changes workflows, queues and schedules');
select set_eq(
  $$ select p.oid::regprocedure::text from pg_proc p
     where p.pronamespace = 'outlast'::regnamespace and p.prosecdef $$,
  array['outlast.start_any(text,text,text,text,integer,interval,jsonb)', 'outlast.start_own(text,text,text,text,integer,interval,jsonb)',
        'outlast.start_as(text,text,text,text,integer,interval,jsonb,jsonb)', 'outlast.send(text,json,text,text)',
        'outlast.cancel_any(text)', 'outlast.cancel_own(text)', 'outlast.public_error(text)',
        'outlast.public_input(text)', 'outlast.public_output(text)',
        'outlast.set_queue(text,jsonb,boolean,text,text)', 'outlast.pause_queue(text,text,text,text)',
        'outlast.resume_queue(text,text,text)', 'outlast.drain_queue(text,text,text)',
        'outlast.waiting_on(text)',
        'outlast.create_schedule(text,text,text,text,interval,timestamp with time zone,jsonb,text,text,'
        'timestamp with time zone,integer,interval,integer,text)', 'outlast.delete_schedule(text,text)',
        'outlast.pause_schedule(text,text,text)', 'outlast.resume_schedule(text,text)',
        'outlast.trigger_schedule(text,text,text)',
        'outlast.backfill_schedule(text,timestamp with time zone,timestamp with time zone,boolean,text)',
        'outlast.bulk(text,jsonb,jsonb,boolean,integer,integer,text,text)',
        'outlast.cancel_workflow(text,text,text,text)', 'outlast.delete_workflow(text,text,text)',
        'outlast.find_workflows(text,text,text,text[],text,text,text,boolean,timestamp with time zone,'
        'timestamp with time zone,timestamp with time zone,timestamp with time zone,text[],boolean,text,'
        'timestamp with time zone,text,bigint,boolean,text,text,text)',
        'outlast.fork_workflow(text,text,jsonb,text,text,text,text)', 'outlast.pause_workflow(text,text,text)',
        'outlast.resume_workflow(text,text,text)', 'outlast.retry_workflow(text,text,text)',
        'outlast.rewind_workflow(text,text,text,text)', 'outlast.set_workflow(text,jsonb,text,text)',
        'outlast.settle_workflow(text,text,jsonb,text,text,text,text)'],
  'these alone act with the rights of their owner');
select is_empty(
  $$ select p.oid::regprocedure from pg_proc p
     where p.pronamespace = 'outlast'::regnamespace
       and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false) $$,
  'every function looks in pg_catalog first, and in temporary schemas last');

select * from finish();
rollback;
