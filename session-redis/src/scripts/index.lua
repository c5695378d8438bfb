-- ARGV: the id, the end of its record, until when entries have certainly ended, how long to keep all (ms).
-- An entry only ever moves to a later end: the update that moves it may lose against another.
local added = redis.pcall('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
if type(added) == 'table' then
    return added
end
local cleaned = redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if type(cleaned) == 'table' then
    return cleaned
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
