-- ARGV: the record, now, how long to keep it (ms). 1: stored. A string: what is there.
-- Ids are fresh, so hardly ever is anything there that has to be judged.
local fresh = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[3], 'NX')
if fresh then
    return fresh.err and fresh or 1
end
local header = read()
if type(header) == 'table' then
    return header
end
if header and (not is_readable(header) or time(ARGV[2], 1) < expires_at(header)) then
    return redis.pcall('GET', KEYS[1])
end
local stored = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return stored.err and stored or 1
