-- ARGV: the expected revision, the record, now, how long to keep it (ms), '1' if it is indexed.
-- 0: there is no live record. 1: stored. 2: index it first. A string: the record that is there.
-- The script of most writes, so it does without the functions of header.lua: to make them takes each run as long as
-- to decide. What it knows of the format is the same.
local record = ARGV[2]
local somebody = record:sub(28, 29) ~= '\0\0'
local header = redis.pcall('GETRANGE', KEYS[1], '0', somebody and '291' or '36')
if type(header) == 'table' then
    return header
end
if header == '' and redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
local expires_at, touched_at, deadline
local readable, last = false, 253402300799999
if #header >= 37 and header:byte(1) == 1 then
    expires_at, touched_at, deadline = struct.unpack('>I6I6I6', header, 10)
    readable = expires_at <= last and deadline <= last
end
if readable and struct.unpack('>I6', ARGV[3]) >= expires_at then
    return 0
end
if not readable or header:sub(2, 9) ~= ARGV[1] then
    return redis.pcall('GET', KEYS[1])
end
-- Whoever stored this record has indexed it under its principal until its end.
if somebody and ARGV[5] ~= '1' then
    local new_expires_at, new_touched_at, new_deadline, length = struct.unpack('>I6I6I6I2', record, 10)
    local same = header:sub(28, 29) == record:sub(28, 29)
        and header:sub(38, 36 + length) == record:sub(38, 36 + length)
    if not same or math.max(new_expires_at, new_deadline) > math.max(expires_at, deadline) then
        return 2
    end
end
local stored = redis.pcall('SET', KEYS[1], record, 'PX', ARGV[4])
return stored.err and stored or 1
