-- ARGV: the expected revision, the record, now, how long to keep it (ms), whether it is indexed ('1').
-- 0: there is no live record. 1: stored. 2: index it first. A string: the record that is there.
local header = read()
if type(header) == 'table' then
    return header
end
if not header then
    return 0
end
local readable = is_readable(header)
if readable and time(ARGV[3], 1) >= expires_at(header) then
    return 0
end
if not readable or header:sub(2, 9) ~= ARGV[1] then
    return redis.pcall('GET', KEYS[1])
end
-- Whoever stored this record has indexed it under its principal until its end.
local record = ARGV[2]
local somebody = record:sub(28, 29) ~= '\0\0'
if somebody and ARGV[5] ~= '1' and (principal(record) ~= principal(header) or ends(record) > ends(header)) then
    return 2
end
local stored = redis.pcall('SET', KEYS[1], record, 'PX', ARGV[4])
return stored.err and stored or 1
