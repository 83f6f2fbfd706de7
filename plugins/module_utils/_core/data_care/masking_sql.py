"""SQL that masks a copy of a database and looks for what was masked: texts, run by `clone_source`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..postgresql import sql
from .masking import (
    BLANKS,
    BYTES,
    EMPTY,
    FAKE_EMAIL,
    FAKE_NAME,
    HASH,
    JSON,
    LIST,
    UUID,
    Column,
)

SCHEMA = "slipway_clone"
# Words that are compared at once; of a longer value, its first ones.
_WORDS = 6
# A shorter one is found in everything.
_LEAST = 4
_FIRST = (
    "Ada Bela Cleo Dario Elif Fenna Goran Hedda Ilja Jonna Kasimir Leonie Marek Nuria Oskar Paula "
    "Quirin Ronja Selma Tadeo Ulla Viggo Wanda Xenia Yara Zeno Amira Bruno Carla Dimitri Enya Falk"
)
_LAST = (
    "Almqvist Bergfeld Corvino Dahlmann Ebersold Fjellstad Grunwald Halvorsen Imhoff Jaskolka Kestrel "
    "Lindqvist Marlow Norrgard Ostrander Pellegrin Quist Rosendahl Sandoval Thornbury Ulvestad Vasquez "
    "Wintergreen Xanthos Yarrow Zielinski Ashdown Blackwood Castellan Drummond Eastgate Fairbanks"
)

# Domains are judged by what they are made of; ranges of an enum are an enum's as far as text goes.
COLUMNS = """SELECT coalesce(json_agg(json_build_object(
    'schema', n.nspname, 'relation', c.relname, 'name', a.attname,
    'type', format_type(a.atttypid, a.atttypmod),
    'kind', CASE WHEN b.typname = 'uuid' THEN 'uuid' WHEN b.typname IN ('json', 'jsonb') THEN 'json'
        WHEN b.typname = 'bytea' THEN 'bytes' WHEN t.typcategory = 'S' THEN 'text' WHEN t.typcategory = 'A'
        THEN 'list' WHEN t.typcategory IN ('N', 'B', 'D', 'T', 'E') THEN 'plain' ELSE 'other' END,
    'length', CASE WHEN b.typname IN ('varchar', 'bpchar') AND greatest(a.atttypmod, t.typtypmod) > 4
        THEN greatest(a.atttypmod, t.typtypmod) - 4 WHEN b.typname = 'name' THEN 63 ELSE 0 END,
    'nullable', NOT a.attnotnull AND NOT t.typnotnull, 'generated', a.attgenerated <> '',
    'whole', c.relkind = 'p',
    'unique', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
        AND a.attnum = ANY (i.indkey::int2[])),
    'references', (SELECT coalesce(json_agg(json_build_object('schema', fn.nspname, 'table', f.relname,
        'column', fa.attname)), '[]')
        FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
            JOIN pg_namespace fn ON fn.oid = f.relnamespace,
            unnest(k.conkey, k.confkey) AS pair(own, foreign_one)
            JOIN pg_attribute fa ON fa.attnum = pair.foreign_one
        WHERE k.contype = 'f' AND k.conrelid = c.oid AND NOT f.relispartition
            AND fa.attrelid = k.confrelid AND pair.own = a.attnum)
) ORDER BY n.nspname, c.relname, a.attnum), '[]')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype
    ELSE t.oid END
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'slipway_clone');
"""
SIZES = """SELECT coalesce(json_object_agg(n.nspname || '.' || c.relname, pg_total_relation_size(c.oid)),
    '{}') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema';
"""
EXTENSIONS = (
    "SELECT coalesce(json_agg(extname ORDER BY oid), '[]') FROM pg_extension WHERE extname <> 'plpgsql';"
)
# Foreign servers and whom they log in as, with passwords: a copy has no business there.
FORGET_SERVERS = """DO $$
  DECLARE server name;
  BEGIN
    FOR server IN SELECT srvname FROM pg_foreign_server LOOP
      EXECUTE format('DROP SERVER %I CASCADE', server);
    END LOOP;
  END
$$;"""
# Triggers and rules that fire for a replica, too, would fire while a table is masked, and may write what it
# held into another one. They sleep meanwhile; `WAKE` has each as it was, for the schema goes along.
_SLEEPING = f"""CREATE UNLOGGED TABLE {SCHEMA}.sleeping AS
    SELECT format('%I.%I', n.nspname, c.relname) AS place, kind, name, mode
    FROM (SELECT tgrelid AS relation, 'TRIGGER' AS kind, tgname AS name, tgenabled AS mode FROM pg_trigger
        WHERE NOT tgisinternal OR tgparentid <> 0 AND tgconstraint = 0
        UNION ALL SELECT ev_class, 'RULE', rulename, ev_enabled FROM pg_rewrite) AS either
    JOIN pg_class c ON c.oid = relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE mode IN ('A', 'R') AND c.relkind IN ('r', 'p');
"""
# Without a word of the partitions: each of them is in the list itself.
_EACH = f"""DO $$
  DECLARE it record;
  BEGIN
    FOR it IN SELECT * FROM {SCHEMA}.sleeping LOOP
      EXECUTE format('ALTER TABLE ONLY %s %s %s %I', it.place, {{}}, it.kind, it.name);
    END LOOP;
  END
$$;
"""
WAKE = "SET event_triggers = off;\n" + _EACH.format(
    "CASE it.mode WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END"
)
PREPARE = f"""SET event_triggers = off;
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
{_SLEEPING}{_EACH.format("'DISABLE'")}
CREATE UNLOGGED TABLE {SCHEMA}.originals (source text NOT NULL, value text NOT NULL);
CREATE FUNCTION {SCHEMA}.words(text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
    $$ SELECT array_remove(regexp_split_to_array(lower($1), '[^[:alnum:]@._+-]+'), '') $$;
"""
NEEDLES = f"""CREATE INDEX ON {SCHEMA}.originals (source, md5(value));
CREATE UNLOGGED TABLE {SCHEMA}.needles AS SELECT DISTINCT source, phrase FROM (
    SELECT source, btrim(array_to_string(({SCHEMA}.words(value))[1:{_WORDS}], ' '), '._+-') AS phrase
    FROM {SCHEMA}.originals) AS all_of_them WHERE length(phrase) >= {_LEAST};
CREATE INDEX ON {SCHEMA}.needles (md5(phrase));
ANALYZE {SCHEMA}.originals, {SCHEMA}.needles;
"""
FORGET = f"DROP SCHEMA {SCHEMA} CASCADE;\n"


def table(column: Column) -> str:
    """Without rows of tables that inherit from it, which have rules of their own; with its partitions."""
    full = f"{sql.name(column.schema)}.{sql.name(column.relation)}"
    return full if column.whole else f"ONLY {full}"


def remember(column: Column) -> str:
    """Keep what the column holds until it is known that nothing of it is left."""
    own = sql.literal(str(column))
    return (
        f"INSERT INTO {SCHEMA}.originals SELECT DISTINCT {own}, value FROM ({_texts(column)}) AS every "
        "WHERE value <> '';\n"
    )


def _texts(column: Column) -> str:
    """Every text that the column holds, one a row: of JSON its strings, of a list its items."""
    name, place = sql.name(column.name), table(column)
    if column.kind == JSON:
        return _of_json(column, '? (@.type() == "string")')
    if column.kind == LIST:
        return f"SELECT item::text AS value FROM {place}, unnest({name}) AS item WHERE item IS NOT NULL"
    if column.kind == BYTES:
        return f"SELECT encode({name}, 'escape') AS value FROM {place} WHERE {name} IS NOT NULL"
    return f"SELECT {name}::text AS value FROM {place} WHERE {name} IS NOT NULL"


def _of_json(column: Column, path: str) -> str:
    found = f"jsonb_path_query({sql.name(column.name)}::jsonb, 'strict $.** {path}') AS found"
    return f"SELECT found #>> '{{}}' AS value FROM {table(column)}, {found}"


def mask(columns: dict[Column, str], salt: str) -> str:
    """One statement for all masked columns of one table; triggers and foreign keys do not see it."""
    settings = ", ".join(
        f"{sql.name(column.name)} = {value(column, rule, salt)}" for column, rule in columns.items()
    )
    return f"SET session_replication_role = replica;\nUPDATE {table(next(iter(columns)))} SET {settings};\n"


def value(column: Column, rule: str, salt: str) -> str:
    """What stands in the place of a value. NULL stays NULL."""
    name = sql.name(column.name)
    if rule == EMPTY:
        return "NULL" if column.nullable else f"{sql.literal(BLANKS[column.kind])}::{column.type}"
    digest = f"sha256(convert_to({sql.literal(salt)} || {name}::text, 'UTF8'))"
    digits = f"encode({digest}, 'hex')"
    masked = {
        HASH: f"left({digits}, {min(column.length or 32, 32)})",
        FAKE_EMAIL: f"'user-' || left({digits}, 20) || '@example.invalid'",
        FAKE_NAME: f"{_pick(_FIRST, digest, 31)} || ' ' || {_pick(_LAST, digest, 30)} || ' ' || "
        f"left({digits}, {16 if column.unique else 8})",
    }[rule]
    # NULL, too, where only the name of one is NULL: every part of it is made of the value.
    return f"({masked})::{'uuid' if column.kind == UUID else column.type}"


def _pick(words: str, digest: str, byte: int) -> str:
    listed = words.split()
    names = ", ".join(sql.literal(word) for word in listed)
    return f"(ARRAY[{names}])[1 + get_byte({digest}, {byte}) % {len(listed)}]"


def left_over(column: Column, rule: str) -> str:
    """Rows that still hold a value which the column held before."""
    name = sql.name(column.name)
    if rule == EMPTY:
        blank = (
            f"{name} IS NOT NULL"
            if column.nullable
            else f"{name}::text <> {sql.literal(BLANKS[column.kind])}"
        )
        if column.kind == BYTES and not column.nullable:
            blank = f"length({name}) > 0"
        return f"SELECT count(*) FROM {table(column)} WHERE {blank};"
    return (
        f"SELECT count(*) FROM {table(column)} AS own JOIN {SCHEMA}.originals AS o "
        f"ON o.source = {sql.literal(str(column))} AND md5(o.value) = md5(own.{name}::text) "
        f"AND o.value = own.{name}::text;"
    )


def leaks(column: Column) -> str:
    """Where values of masked columns stand, as phrases of words, in one that arrives as it is.

    One line for each column that they are of: its name, and in how many texts.
    """
    searched = _texts(column)
    if column.kind == JSON:
        # Keys are as a rule the application's own words, yet may be whose the values are.
        searched += " UNION ALL " + _of_json(column, '? (@.type() == "object").keyvalue().key')
    return (
        f"{_phrases(f'SELECT row_number() OVER () AS number, value FROM ({searched}) AS texts')}\n"
        "SELECT source || '|' || count(DISTINCT number) FROM found GROUP BY source ORDER BY source;"
    )


def leaks_of(texts: Sequence[tuple[str, str]]) -> str:
    """The same in texts that stand in the schema, each with whose it is: source and owner, a line each."""
    given = sql.literal(json.dumps([{"number": owner, "value": text} for owner, text in texts]))
    # Each text by itself: a phrase that goes on in the next one is none.
    numbered = (
        "SELECT owner || '#' || row_number() OVER () AS number, value FROM "
        f"(SELECT number AS owner, value FROM json_to_recordset({given}) AS t(number text, value text)) AS u"
    )
    owner = "left(number, length(number) - strpos(reverse(number), '#'))"
    return f"{_phrases(numbered)}\nSELECT DISTINCT source || '|' || {owner} FROM found ORDER BY 1;"


def _phrases(searched: str) -> str:
    """`found`: each text, by its number, and the masked column of which it holds a value."""
    nexts = ", ".join(f"lead(word, {n}) OVER along AS w{n}" for n in range(1, _WORDS))
    phrases = [
        " || ' ' || ".join(["word", *(f"w{n}" for n in range(1, count))]) for count in range(1, _WORDS + 1)
    ]
    return f"""WITH every AS MATERIALIZED (
    SELECT number, {SCHEMA}.words(value) AS words FROM ({searched}) AS texts),
words AS (SELECT number, word, {nexts} FROM every, unnest(words) WITH ORDINALITY AS each(word, place)
    WINDOW along AS (PARTITION BY number ORDER BY place)),
phrases AS (SELECT DISTINCT number, btrim(phrase, '._+-') AS phrase FROM words,
    unnest(ARRAY[{", ".join(phrases)}]) AS phrase WHERE phrase IS NOT NULL),
found AS (SELECT n.source, p.number FROM phrases AS p JOIN {SCHEMA}.needles AS n
    ON md5(n.phrase) = md5(p.phrase) AND n.phrase = p.phrase)"""


def rows(column: Column) -> str:
    return f"SELECT count(*) FROM {table(column)};"
