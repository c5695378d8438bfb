-- What the scripts know of record format 1 (record_format.rs). Positions count from 1 here.
-- Revisions are compared by ==, which compares bytes. Times are 48 bits, so a Lua number holds them
-- exactly; < on strings would follow the server's locale.
local HEADER = 37

local function time(bytes, at)
    return struct.unpack('>I6', bytes, at)
end

local function expires_at(header)
    return time(header, 10)
end

-- The principal's field, length included: equal exactly if the principals are.
local function principal(header)
    return header:sub(28, 29) .. header:sub(HEADER + 1, HEADER + math.max(struct.unpack('>I2', header, 28) - 1, 0))
end

-- Nothing is judged by a header that is cut off, of another format, or with times that cannot be.
local function is_readable(header)
    local last = 253402300799999
    return #header >= HEADER and header:byte(1) == 1 and expires_at(header) <= last and time(header, 22) <= last
end

-- The header and the principal, of 255 bytes at most, of the record at KEYS[1]; nil if there is none, a table if that is
-- an error. The numbers are texts: the server turns others into such, which takes as long as reading the record.
local function read()
    local header = redis.pcall('GETRANGE', KEYS[1], '0', '291')
    if header == '' and redis.call('EXISTS', KEYS[1]) == 0 then
        return nil
    end
    return header
end
