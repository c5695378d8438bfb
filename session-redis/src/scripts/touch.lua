-- ARGV: the wanted expiry, now, the slack (ms). 0: there is no live record. 1: touched. A string: it cannot
-- be read.
local header = read()
if type(header) == 'table' then
    return header
end
if not header then
    return 0
end
if not is_readable(header) then
    return redis.pcall('GET', KEYS[1])
end
local now = time(ARGV[2], 1)
if now >= expires_at(header) then
    return 0
end
local expiry, touched = header:sub(10, 15), header:sub(16, 21)
local old_expiry, old_touched = expiry, touched
if time(ARGV[1], 1) > time(expiry, 1) then
    expiry = ARGV[1]
end
if time(expiry, 1) > time(header, 22) then
    expiry = header:sub(22, 27)
end
if now > time(touched, 1) then
    touched = ARGV[2]
end
if expiry == old_expiry and touched == old_touched then
    return 1
end
-- First what can fail without harm: a key that is kept too long is only garbage.
if expiry ~= old_expiry then
    local keep = math.max(time(expiry, 1) - now, 1) + tonumber(ARGV[3])
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep))
end
local patched = redis.pcall('SETRANGE', KEYS[1], 9, expiry .. touched)
return type(patched) == 'table' and patched or 1
