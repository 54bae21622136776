"""How much of what comes from outside is taken: the greatest sizes, counts and depths, in one
table.

Nothing outside is trusted, so everything that is read has a bound here. Each one lies well above
what real servers, files and people send, and low enough that reaching it neither fills Open WebUI's
memory nor stops its event loop. How long things may take stands beside the code that waits for
them; only that of collecting a run's files stands here.

A bound of bytes counts what comes over the network, before it is decoded.
"""

KB = 2**10
MB = 2**20

# Answers of a server. A queue of 300 whole workflows has tens of megabytes, and so have the
# definitions of 3,725 node classes. A list of 20,000 models has a few; all other answers have
# kilobytes.
MOST_JSON_BYTES = 64 * MB
MOST_LIST_BYTES = 16 * MB  # of names
MOST_DEFINITION_BYTES = 16 * MB  # of one node class; one that lists 20,000 models has 2 MB
MOST_SHORT_ANSWER_BYTES = 4 * MB  # of an answer to a post; a refusal may list every model
MOST_STATUS_BYTES = 256 * KB  # of what a server tells of itself
# of what a server tells of old node classes; one of 0.33 has two kB
MOST_REPLACEMENT_BYTES = 4 * MB
MOST_REPLACEMENTS = 5000  # of them
# of a workflow as JSON, from wherever; with pictures inside, some reach 10 MB
MOST_WORKFLOW_BYTES = 16 * MB
MOST_INDEX_BYTES = 8 * MB  # of a list of templates; one of 506 has 0.6 MB
MOST_HAND_WRITTEN_CHARACTERS = MB  # of a workflow in which what people write by hand is put right
MOST_NODES = 20_000  # of a workflow, with those in its subgraphs; 1,000 are many
MOST_NODE_INPUTS = 2000  # of one node
MOST_FILE_SOURCES = 500  # model files for which a workflow says where they are to be had
# of such a link, that it is told; those of official templates have 161 at most
MOST_LINK_CHARACTERS = 300
MOST_AUTHORS_NOTES = 20  # of the notes in a workflow, that are read
MOST_NOTE_CHARACTERS = 4000  # of one of them
MOST_REFUSAL_BYTES = 64 * KB  # of the reason that Comfy Cloud gives for a refusal

# JSON is decoded in pieces. One call of Python's decoder holds the interpreter's lock and so stops
# the event loop, from whatever thread it is made: a piece of 64 kB costs 6 ms at most, and half a
# millisecond as a rule. A longer one that holds little but texts, such as the names of 20,000
# models, costs no more.
FIRST_PIECE_BYTES = 16 * KB
MOST_PIECE_BYTES = 64 * KB
MOST_LIGHT_PIECE_BYTES = 4 * MB  # of a piece that weighs less than `MOST_PIECE_WEIGHT`
MOST_PIECE_WEIGHT = 100_000  # the number of its commas, and four times that of its brackets
# of one text within JSON, which cannot be decoded in parts; some hold a picture
MOST_TEXT_BYTES = 16 * MB
MOST_DEPTH_OF_JSON = 100  # of brackets in brackets; the deepest that ComfyUI sends has about 30
# In one value that is handed on: a list of all models in a definition, a workflow in a row of the
# queue.
MOST_VALUES_OF_JSON = 500_000
MOST_CONTAINERS_OF_JSON = 100_000  # lists and objects, which take most of the memory

# The websocket. A picture of 34 megapixels may come as a frame of 60 MB; a text is never longer
# than what a node shows.
MOST_FRAME_BYTES = 96 * MB
MOST_TEXT_FRAME_BYTES = 4 * MB
MOST_PREVIEW_BYTES = 16 * MB  # of a picture that is only shown while the run goes on
# nodes whose progress one frame tells; a graph of 1,000 nodes is a large one
MOST_NODES_IN_FRAME = 3000
# of one prompt that nobody has taken yet; then a look-up takes their place
MOST_WAITING_EVENTS = 500
# of a server that sends more, the socket is closed; busy ones send some hundred
MOST_FRAMES_A_SECOND = 2000
MOST_RUNNING_PROMPTS = 10_000  # of an account at Comfy Cloud, that are counted
# of all pictures that come as frames for one prompt, and are saved nowhere
MOST_SENT_BYTES = 256 * MB
MOST_SENT_BYTES_HELD = 512 * MB  # of such pictures for all prompts, until they are stored
MOST_SENT_PICTURES = 200  # for one prompt

# What a run made. Beyond these bounds what came is handed over, and a note says what was left out.
MOST_FILES_OF_CALL = 100  # that one call brings; check_job brings as many more
MOST_FILES_OF_RUN = 1000  # that are ever brought; all others stay in ComfyUI's output folder
MOST_FILE_BYTES = 512 * MB
MOST_BYTES_OF_CALL = 1024 * MB  # of all files that one call brings
MOST_COLLECTING_SECONDS = 900.0
MOST_NAMES_IN_NOTE = 5  # files that a note names

# Where the process holds finished files until they are stored. What the memory has no room for goes
# to disk.
MOST_FILE_BYTES_IN_MEMORY = 4 * MB
MOST_BYTES_IN_MEMORY = 256 * MB  # of all files
MOST_BYTES_ON_DISK = 8192 * MB  # of all files
MOST_PICTURE_BYTES = 256 * MB  # of a file that is opened as a picture
# of a file that is read into memory, to be converted or to remove its metadata
MOST_CHANGED_BYTES = 128 * MB

# What is read of a server's own lists; the rest is known to be there, and no more.
MOST_QUEUE_ROWS = 10_000
# of the workflows in the queue's rows; of later rows only the ids are kept
MOST_ROW_BYTES_KEPT = 32 * MB
MOST_DEVICES = 64  # that a server computes on
MOST_NOTES = 20  # on outputs that a server left out of a prompt
MOST_NAMES_IN_LIST = 60_000  # models of a kind, saved workflows
MOST_TEMPLATES = 5000  # official ones and examples of custom nodes
MOST_OUTPUTS_READ = 20_000  # files that one history entry or frame names
# of an error's text, or of any other that a server means for people
MOST_MESSAGE_CHARACTERS = 20_000
MOST_NAME_CHARACTERS = 1000  # of a node's id, or of a name that stands in a message

# What a process remembers of a server.
MOST_DEFINITION_BYTES_KEPT = 128 * MB  # of one that is in use
MOST_LIST_BYTES_KEPT = 64 * MB  # of its lists of names
MOST_IDLE_BYTES_KEPT = 64 * MB  # of all that are not in use
REMEMBERED_LISTS = 300  # of names: one for each folder with models, and some more
REMEMBERED_MODELS = 1000  # model files, with what they are
MOST_METADATA_BYTES = 16 * MB  # of one model file; what says more than that says nothing
MOST_TAGS_COUNTED = 50_000  # of the training pictures of a LoRA; thousands are many
MOST_TAGS_KEPT = 12  # the most frequent ones
MOST_TAG_CHARACTERS = 80  # of one; what is longer is a whole description of a picture

# Names in a workflow are compared with many patterns. Longer ones are not in use, and megabytes of
# one would hold the process up.
MOST_NODE_NAME_CHARACTERS = 250  # of a class, an input or a type
MOST_TITLE_CHARACTERS = 250  # of a node; a longer title is cut

# Arguments of a call, as a model writes them. A data URI is longer; its bound is that of the files
# of a call. of a text, or of all texts in a list or an object, also one written as JSON
MOST_ARGUMENT_CHARACTERS = 200_000
MOST_ARGUMENT_VALUES = 5000  # in a list or an object
MOST_ARGUMENT_LEVELS = 50  # of lists and objects in one another, as values of an input
MOST_WORD_CHARACTERS = 500  # of what has to be understood: a picture, a size, a number
MOST_ARGUMENT_ITEMS = 500  # of a list, with all that is in it
# of lists and objects in one another, in which pictures, LoRAs or inputs are looked for
MOST_ARGUMENT_DEPTH = 5

# Names of models, of which a server may list as many as `MOST_NAMES_IN_LIST`.
# of a file and what it says of itself, that the patterns of bundled workflows see
MOST_MATCHED_CHARACTERS = 250
# of all names together that one is compared with, or of which the best is chosen
MOST_COMPARED_CHARACTERS = MB
# of all names together among which the most similar ones are looked for
MOST_LIKENED_CHARACTERS = 60 * KB
MOST_FOLDERS = 200  # with models

# What a model is told by one call, which Open WebUI sends again in every later turn of the chat.
MOST_TOLD_CHARACTERS = 40_000

# An address as people write it.
MOST_ADDRESS_CHARACTERS = 2000
# A key is hidden where it has so many characters; a shorter one would tear other words apart.
LEAST_KEY_CHARACTERS = 8

# Pictures, from users and from servers. Decoded, one of 50 megapixels takes 200 MB, and twice to
# four times as much while it is made another: such ones are worked on one after another.
MOST_MEGAPIXELS = 50.0  # of a picture that is decoded
MOST_SIDE = 16_384  # pixels
MOST_SMALL_MEGAPIXELS = 9.0  # of one that is worked on beside others
MOST_PICTURE_TEXT_CHARACTERS = 4_000_000  # in a picture that is converted, which keeps them
# What pictures are made of. Pillow's own chunks have 64 kB, those of other programs 8 kB and more:
# so many are 240 MB.
MOST_PICTURE_PARTS = 30_000  # chunks, segments, or pictures in an animation
MOST_PAGES = 1000
MOST_PICTURES_INSIDE = 64  # of an icon, which is there in some sizes
MOST_ENTRIES_IN_DIRECTORY = 1000  # of EXIF data or a TIFF; cameras write less than a hundred
MOST_STRIPS = 100_000  # that a TIFF is cut into: at most one for each row of each colour
MOST_JPEG_SCANS = 100  # programs write some ten
# what programs write beside the picture: colour profiles, the depth of a phone's
MOST_JPEG_TEXT_BYTES = 16 * MB
MOST_JPEG_EXIF_BYTES = MB  # of these; they are joined like those of a GIF
MOST_GIF_BLOCKS = 2_000_000  # of 255 bytes as a rule
MOST_GIF_TEXT_BYTES = MB  # joined block by block, in a time that grows with their square
MOST_SLOW_BYTES = 4 * MB  # of what Pillow reads byte by byte: icons, run lengths, numbers as text
MOST_JPEG2000_BYTES = 16 * MB  # decoding one takes ten times as long as a JPEG
MOST_PPM_HEAD_BYTES = 64 * KB
# Files whose metadata is removed.
MOST_FILE_PARTS = 500_000  # boxes, elements, pages or chunks
MOST_COMMENT_BYTES = 16 * MB  # of the comments in a sound
MOST_HEAD_BYTES = 2 * MB  # of the JSON in a model; it is read in one go
