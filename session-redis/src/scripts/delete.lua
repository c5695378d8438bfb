-- ARGV: the expected revision, or '' for any, now. 0: there is no live record. 1: deleted. An array: deleted,
-- and whose it was. A string: the record that is there.
local header = read()
if type(header) == 'table' then
    return header
end
if not header then
    return 0
end
local readable = is_readable(header)
if readable and time(ARGV[2], 1) >= expires_at(header) then
    return 0
end
if ARGV[1] ~= '' and (not readable or header:sub(2, 9) ~= ARGV[1]) then
    return redis.pcall('GET', KEYS[1])
end
local deleted = redis.pcall('DEL', KEYS[1])
if type(deleted) == 'table' then
    return deleted
end
-- Whose a damaged record was nobody can tell: its entry goes with its time.
local owner = readable and principal(header)
if not owner or owner == '\0\0' then
    return 1
end
return { owner:sub(3) }
