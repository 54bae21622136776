"""Files as bytes: kinds, pictures and masks, metadata, formats; never the network.

Every module takes bytes and gives bytes or what is known of them. Decoding and encoding block, so
callers do it in a thread. The modules follow one another so:

    file_bytes  where the bytes of a finished file are: in memory, or on disk
    parts       how many parts a picture is made of, before anything reads it
    kinds       what a file is, by its first bytes: its content type, the size of a picture, whether it moves
    pictures    files of the chat made ready for a workflow: pictures, masks, videos and sounds
    overwriting places of a file overwritten in their length, in a copy or on disk
    metadata    what tells how a file was made, taken out of it (of a sound: sound_metadata)
    delivery    finished files handed over in the format that somebody wants, with or without metadata
"""
