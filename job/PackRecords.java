import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.flink.api.common.operators.ProcessingTimeService.ProcessingTimeCallback;
import org.apache.flink.streaming.api.graph.StreamConfig;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.Output;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.streaming.runtime.tasks.StreamTask;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.operators.TableStreamOperator;

/**
 * Packs records before they cross to Python; the layout is that of udfs/core/packs.py, which reads it.
 *
 * <p>It keeps the order of the records and has no state: whatever it holds it hands on before a barrier passes and when
 * the stream ends, else when there are so many records or bytes, or after a time. What it holds until then are
 * references to the bytes that Kafka's client made for each record, which nobody else keeps or changes.
 *
 * <p>Flink compiles this file with Janino on each TaskManager, as it does the code of SQL (job/packing.py), so there are
 * no generics and no lambdas here, and the constructor is the one that CodeGenOperatorFactory calls.
 */
public class PackRecords extends TableStreamOperator implements OneInputStreamOperator, ProcessingTimeCallback {

    private static final byte[] EMPTY = new byte[0];
    private static final int COUNT_BYTES = 4;
    // The lengths of topic, key, value and headers, and the partition, are four bytes each, the offset is eight.
    private static final int FRAME_BYTES = 28;

    private final int maxRecords;
    private final int maxBytes;
    private final long maxAgeMillis;

    private byte[][] topics;
    private byte[][] keys;
    private byte[][] values;
    private byte[][] headers;
    private int[] partitions;
    private long[] offsets;
    private int count;
    private int size;
    // Whether a timer runs: for the record that came first, or for one before it that was handed on in a full pack.
    private boolean isTimed;

    public PackRecords(
            Object[] references, StreamTask task, StreamConfig config, Output output, ProcessingTimeService time)
            throws Exception {
        maxRecords = ((Number) references[0]).intValue();
        maxBytes = ((Number) references[1]).intValue();
        maxAgeMillis = ((Number) references[2]).longValue();
        topics = new byte[maxRecords][];
        keys = new byte[maxRecords][];
        values = new byte[maxRecords][];
        headers = new byte[maxRecords][];
        partitions = new int[maxRecords];
        offsets = new long[maxRecords];
        setup(task, config, output);
        setProcessingTimeService(time);
    }

    public void processElement(StreamRecord element) throws Exception {
        RowData row = (RowData) element.getValue();
        keys[count] = row.isNullAt(0) ? null : row.getBinary(0);
        values[count] = row.isNullAt(1) ? null : row.getBinary(1);
        topics[count] = row.getString(2).toBytes();
        partitions[count] = row.getInt(3);
        offsets[count] = row.getLong(4);
        headers[count] = row.isNullAt(5) ? EMPTY : packed(row.getMap(5));
        size += FRAME_BYTES + topics[count].length + lengthOf(keys[count]) + lengthOf(values[count])
                + headers[count].length;
        count++;
        if (count == maxRecords || size >= maxBytes) {
            flush();
        } else if (!isTimed) {
            isTimed = true;
            long now = processingTimeService.getCurrentProcessingTime();
            processingTimeService.registerTimer(now + maxAgeMillis, this);
        }
    }

    public void onProcessingTime(long timestamp) throws Exception {
        isTimed = false;
        flush();
    }

    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        flush();
    }

    public void finish() throws Exception {
        flush();
        super.finish();
    }

    private void flush() {
        if (count == 0) {
            return;
        }
        ByteBuffer pack = ByteBuffer.allocate(COUNT_BYTES + size).putInt(count);
        for (int at = 0; at < count; at++) {
            pack.putInt(topics[at].length).putInt(partitions[at]).putLong(offsets[at]);
            pack.putInt(lengthOrNull(keys[at])).putInt(lengthOrNull(values[at])).putInt(headers[at].length);
        }
        for (int at = 0; at < count; at++) {
            put(pack, topics[at]);
            put(pack, keys[at]);
            put(pack, values[at]);
            put(pack, headers[at]);
            keys[at] = values[at] = null;
        }
        count = 0;
        size = 0;
        output.collect(new StreamRecord(pack.array()));
    }

    private static byte[] packed(MapData map) throws IOException {
        if (map.size() == 0) {
            return EMPTY;
        }
        ArrayData names = map.keyArray();
        ArrayData texts = map.valueArray();
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        DataOutputStream output = new DataOutputStream(packed);
        for (int at = 0; at < map.size(); at++) {
            byte[] name = names.getString(at).toBytes();
            byte[] text = texts.isNullAt(at) ? null : texts.getBinary(at);
            output.writeInt(name.length);
            output.writeInt(lengthOrNull(text));
            output.write(name);
            output.write(text == null ? EMPTY : text);
        }
        return packed.toByteArray();
    }

    private static int lengthOf(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    private static int lengthOrNull(byte[] bytes) {
        return bytes == null ? -1 : bytes.length;
    }

    private static void put(ByteBuffer target, byte[] bytes) {
        if (bytes != null) {
            target.put(bytes);
        }
    }
}
